module hashfoundry.local/runc-shim

go 1.26.0
