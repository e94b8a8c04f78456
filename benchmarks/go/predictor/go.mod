module hashfoundry.local/predictor

go 1.26.0
