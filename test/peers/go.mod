module github.com/sotto-chat/sotto/test/peers

go 1.26.8

require (
	github.com/sotto-chat/sotto v0.0.0
	github.com/tinfoilsh/encrypted-http-body-protocol v0.3.1
)

require (
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/sotto-chat/sotto => ../..
