// Copyright (c) 2026, Hash Foundry
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// predictor implements KServe's protocols v1 and v2 and always returns the same
// predictions. It needs a few megabytes of memory and almost no time, so that a
// benchmark measures only the client or the platform: the latency of a client,
// or hundreds of services on a laptop.
//
// With SWITCH_FOLDER it is ready only while that folder contains a file with
// the name MODEL_NAME, or `all`: a benchmark decides when a pod becomes ready.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"path/filepath"
)

func ready() bool {
	folder := os.Getenv("SWITCH_FOLDER")
	if folder == "" {
		return true
	}
	for _, name := range []string{os.Getenv("MODEL_NAME"), "all"} {
		if _, err := os.Stat(filepath.Join(folder, name)); name != "" && err == nil {
			return true
		}
	}
	return false
}

func fixed(body string) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		answer.Write([]byte(body))
	}
}

func readiness(answer http.ResponseWriter, request *http.Request) {
	if !ready() {
		http.Error(answer, "switched off", http.StatusServiceUnavailable)
		return
	}
	fixed(`{"ready":true}`)(answer, request)
}

func handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /ready", readiness)
	routes.HandleFunc("GET /v2/health/ready", readiness)
	routes.HandleFunc("GET /v2/models/{name}/ready", readiness)
	routes.HandleFunc("POST /v1/models/{name}", fixed(`{"predictions":[0,2]}`)) // {name} matches `iris:predict`
	routes.HandleFunc("POST /v2/models/{name}/infer", fixed(
		`{"model_name":"fixed","outputs":[{"name":"predict","shape":[2],"datatype":"INT64","data":[0,2]}]}`))
	return routes
}

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*listen, handler()))
}
