// Copyright (c) 2026, Hash Foundry
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestMissing(t *testing.T) {
	for bounding, want := range map[string]map[string]bool{
		"000001ffffffffff": {},
		"000001fffeffffff": {"CAP_SYS_RESOURCE": true},
		"000001fffeffdfff": {"CAP_SYS_RESOURCE": true, "CAP_NET_RAW": true},
	} {
		got, err := missing("Name:\tx\nCapBnd:\t" + bounding + "\nSeccomp:\t0\n")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", bounding, got, err)
		}
	}
	if _, err := missing("Name:\tx\n"); err == nil {
		t.Error("no CapBnd line, no error")
	}
}

func TestRewriteKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	const config = `{"process":{"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"]},"rlimits":[{"hard":18446744073709551615}]},"root":{"path":"rootfs"}}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "process", map[string]bool{"CAP_SYS_RESOURCE": true}); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(path)
	const want = `{"process":{"capabilities":{"bounding":["CAP_CHOWN"]},"rlimits":[{"hard":18446744073709551615}]},"root":{"path":"rootfs"}}`
	if string(raw) != want {
		t.Errorf("got %s", raw)
	}
}

func TestRewriteOfAProcessFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(path, []byte(`{"capabilities":{"effective":["cap_sys_resource","CAP_KILL"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewrite(path, "", map[string]bool{"CAP_SYS_RESOURCE": true}); err != nil {
		t.Fatal(err)
	}
	var process struct{ Capabilities map[string][]string }
	raw, _ := os.ReadFile(path)
	if err := json.Unmarshal(raw, &process); err != nil || !reflect.DeepEqual(process.Capabilities["effective"], []string{"CAP_KILL"}) {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestOption(t *testing.T) {
	words := []string{"--root", "/run", "create", "--bundle=/b", "-p", "/file", "id"}
	if got := option(words, "--bundle", "-b"); got != "/b" {
		t.Errorf("bundle: %q", got)
	}
	if got := option(words, "--process", "-p"); got != "/file" {
		t.Errorf("process: %q", got)
	}
	if !has(words, "create", "run") || has(words, "exec") {
		t.Error("commands")
	}
}
