# Copyright (c) 2026, Hash Foundry
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of Sphinx for the site; antsibull-docs sphinx-init wrote the first of them."""

import os

project = "hashfoundry.kserve"
copyright = "Hash Foundry"
title = "hashfoundry.kserve"
html_short_title = "hashfoundry.kserve"

extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
default_role = "any"

html_theme = "sphinx_ansible_theme"
html_theme_options = {"vcs_pageview_mode": ""}
html_show_sphinx = False
html_use_modindex = False
html_use_index = False
html_copy_source = False

# Each reference must lead somewhere. Those to the documentation of Ansible and of other collections are resolved by
# intersphinx with DOCS_EXTERNAL_LINKS=1 only, and so are other hosts asked by the link check: a build must not fail
# because another site is down.
EXTERNAL = os.environ.get("DOCS_EXTERNAL_LINKS") == "1"
nitpicky = True
linkcheck_timeout = 20
linkcheck_retries = 2
if EXTERNAL:
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {"ansible": ("https://docs.ansible.com/projects/ansible/latest/", None)}
    linkcheck_ignore = [
        r"https?://localhost.*",
        r"https://[^/]*(\.hashfoundry\.local|example\.(com|org)).*",
        r"https://github\.com/hashfoundry/kserve/(edit|issues/new)/.*",  # need an account
    ]
else:
    elsewhere = r"(ansible_collections\.)?(ansible\.builtin|community\.\w+|kubernetes\.core)\..*"
    ansible_pages = r"common_return_values|action_plugins|ansible_configuration_settings"
    nitpick_ignore_regex = [(r".*", rf"{elsewhere}|{ansible_pages}")]
    linkcheck_ignore = [r"https?://"]
