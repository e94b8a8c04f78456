module hashfoundry.local/perses

go 1.26.0

tool github.com/perses/perses/cmd/perses

require github.com/perses/perses v0.52.0
