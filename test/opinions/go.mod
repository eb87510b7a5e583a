module github.com/sotto-chat/sotto/test/opinions

go 1.26.8

require (
	github.com/confidentsecurity/go-nvtrust v0.2.2
	github.com/google/go-sev-guest v0.15.0
	github.com/google/go-tdx-guest v0.3.2-0.20250814004405-ffb0869e6f4d
	github.com/google/go-tpm v0.9.8
	github.com/google/go-tpm-tools v0.4.10
	github.com/sotto-chat/sotto v0.0.0
)

replace github.com/sotto-chat/sotto => ../..
