// Copyright (c) 2026, Hash Foundry
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func status(method, path string) (int, string) {
	answer := httptest.NewRecorder()
	handler().ServeHTTP(answer, httptest.NewRequest(method, path, nil))
	return answer.Code, answer.Body.String()
}

func TestBothProtocolsPredictTheSame(t *testing.T) {
	for path, part := range map[string]string{
		"/v1/models/iris:predict": `"predictions":[0,2]`,
		"/v2/models/iris/infer":   `"data":[0,2]`,
	} {
		if code, body := status("POST", path); code != 200 || !strings.Contains(body, part) {
			t.Errorf("%s answered %d %s", path, code, body)
		}
	}
}

func TestItIsReadyWhileItsSwitchIsThere(t *testing.T) {
	if code, _ := status("GET", "/v2/models/iris/ready"); code != 200 {
		t.Errorf("without a folder of switches it answered %d", code)
	}
	folder := t.TempDir()
	t.Setenv("SWITCH_FOLDER", folder)
	t.Setenv("MODEL_NAME", "iris")
	for _, name := range []string{"iris", "all"} {
		if code, _ := status("GET", "/ready"); code != 503 {
			t.Errorf("without a switch it answered %d", code)
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _ := status("GET", "/ready"); code != 200 {
			t.Errorf("with the switch %s it answered %d", name, code)
		}
		os.Remove(path)
	}
}
