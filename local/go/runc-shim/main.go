// Copyright (c) 2026, Hash Foundry
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// runc-shim wraps runc on a machine whose capability bounding set is
// incomplete. runc rejects a container that requests a capability outside the
// bounding set ("unable to apply caps: operation not permitted"), and every
// privileged container requests all capabilities. The shim removes the missing
// ones from the container's configuration and then executes runc.
//
// The command line of an OCI runtime names the configuration: config.json in
// the --bundle folder of `create` and `run`, and the --process file of `exec`.
// Other commands are passed on unchanged. On a machine with a complete bounding
// set the shim changes nothing, and local/engine.py does not install it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// runcPaths are tried in turn. In a node the shim replaces runc, which is
// renamed to runc.real; on the host Debian's runc remains in place.
var runcPaths = []string{"/usr/sbin/runc.real", "/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"}

// names of the Linux capabilities by bit, include/uapi/linux/capability.h.
var names = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL
CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN
CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE
CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM
CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// missing returns the capabilities that are not in the bounding set; status is
// the content of /proc/self/status (proc(5), CapBnd).
func missing(status string) (map[string]bool, error) {
	for _, line := range strings.Split(status, "\n") {
		value, found := strings.CutPrefix(line, "CapBnd:")
		if !found {
			continue
		}
		bounding, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return nil, err
		}
		lacking := map[string]bool{}
		for bit, name := range names {
			if bounding&(1<<bit) == 0 {
				lacking[name] = true
			}
		}
		return lacking, nil
	}
	return nil, fmt.Errorf("no CapBnd line in /proc/self/status")
}

// strip removes the missing capabilities from one process object.
func strip(process map[string]any, lacking map[string]bool) {
	sets, _ := process["capabilities"].(map[string]any)
	for set, value := range sets {
		list, _ := value.([]any)
		kept := make([]any, 0, len(list))
		for _, capability := range list {
			if name, ok := capability.(string); !ok || !lacking[strings.ToUpper(name)] {
				kept = append(kept, capability)
			}
		}
		sets[set] = kept
	}
}

// rewrite strips the process in a JSON file; key names the field that contains
// it, or is empty if the file is the process itself.
func rewrite(path, key string, lacking map[string]bool) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // uint64 limits must be written as they were read
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	process := document
	if key != "" {
		process, _ = document[key].(map[string]any)
	}
	strip(process, lacking)
	stripped, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(path, stripped, 0o600)
}

// option returns the value of the first of the given flags in the command line.
func option(arguments []string, flags ...string) string {
	for i, argument := range arguments {
		for _, flag := range flags {
			if argument == flag && i+1 < len(arguments) {
				return arguments[i+1]
			}
			if value, found := strings.CutPrefix(argument, flag+"="); found {
				return value
			}
		}
	}
	return ""
}

// has reports whether an argument of the command line is one of the commands.
func has(arguments []string, commands ...string) bool {
	for _, argument := range arguments {
		for _, command := range commands {
			if argument == command {
				return true
			}
		}
	}
	return false
}

func prepare(arguments []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	lacking, err := missing(string(status))
	if err != nil || len(lacking) == 0 {
		return err
	}
	if has(arguments, "create", "run") {
		bundle := option(arguments, "--bundle", "-b")
		return rewrite(filepath.Join(bundle, "config.json"), "process", lacking)
	}
	if file := option(arguments, "--process", "-p"); file != "" && has(arguments, "exec") {
		return rewrite(file, "", lacking)
	}
	return nil
}

func main() {
	if err := prepare(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-shim:", err)
		os.Exit(1)
	}
	for _, path := range runcPaths {
		own, _ := os.Executable()
		if path == own {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			err = syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
			fmt.Fprintf(os.Stderr, "runc-shim: cannot start %s: %v\n", path, err)
			os.Exit(1)
		}
	}
	fmt.Fprintln(os.Stderr, "runc-shim: no runc in", strings.Join(runcPaths, ", "))
	os.Exit(1)
}
