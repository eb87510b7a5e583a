// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/client/nethttp"
	"github.com/sotto-chat/sotto/token"
	"github.com/sotto-chat/sotto/token/wallet"
)

const defaultServer = "http://127.0.0.1:8787"

// serverFlags are the flags of every command that talks to a server.
type serverFlags struct {
	url      string
	software bool
	noRelay  bool
	policy   string // file
}

func addServerFlags(fs *flag.FlagSet) *serverFlags {
	s := new(serverFlags)
	url := os.Getenv("SOTTO_SERVER")
	if url == "" {
		url = defaultServer
	}
	fs.StringVar(&s.url, "server", url, "talk to the server at `URL`")
	fs.BoolVar(&s.software, "insecure-software-node", os.Getenv("SOTTO_INSECURE_SOFTWARE_NODE") == "1",
		"accept a server without protected hardware: a demo, which is not private")
	fs.BoolVar(&s.noRelay, "no-relay", os.Getenv("SOTTO_NO_RELAY") == "1",
		"go straight to the server, which then sees this device’s address")
	fs.StringVar(&s.policy, "policy", os.Getenv("SOTTO_POLICY"), "ask of the machines what stands in `FILE`")
	return s
}

// client makes the client for the server. The caller closes it.
func (a *app) client(s *serverFlags) (*client.Client, error) {
	if _, err := nethttp.ParseBase(s.url); err != nil {
		return nil, usageError("the server’s address "+err.Error(), "it looks like https://chat.example or "+defaultServer)
	}
	var policy attest.Policy
	if s.policy != "" {
		var err error
		if policy, err = readPolicy(s.policy, a.platforms); err != nil {
			return nil, err
		}
	}
	policy.AllowSoftware = policy.AllowSoftware || s.software
	cfg := client.Config{Transport: nethttp.New(s.url), Policy: policy, Platforms: a.platforms}
	if !s.noRelay {
		cfg.Through = through
	}
	cfg.Wallet = func(service client.Service, keys func(context.Context, token.Day) (wallet.DayKeys, error)) (*wallet.Wallet, error) {
		return a.openWallet(s.url, service, keys)
	}
	a.remember(s.url, &cfg)
	return client.New(cfg), nil
}

// connect makes the client, checks the machines and says what a person must
// know before writing anything. The caller closes the client.
func (a *app) connect(ctx context.Context, s *serverFlags) (*client.Client, error) {
	c, err := a.client(s)
	if err != nil {
		return nil, err
	}
	if _, err := c.Verify(ctx); err != nil {
		c.CloseNow()
		return nil, err
	}
	switch st := c.Status(); st.State {
	case client.StateDemo:
		a.sayOnce(st.Line)
	case client.StateChanged:
		a.sayChanged(c, st)
	}
	return c, nil
}

// model picks the model to ask: the one wanted, or the first that the checked
// machines offer.
func pickModel(ctx context.Context, c *client.Client, wanted string) (string, error) {
	if wanted == "" {
		wanted = os.Getenv("SOTTO_MODEL")
	}
	if wanted != "" {
		return wanted, nil
	}
	for _, v := range c.Status().Verdicts {
		if len(v.Models) > 0 {
			return v.Models[0].ID, nil
		}
	}
	list, err := c.Models(ctx)
	if err != nil {
		return "", err
	}
	var doc struct{ Data []struct{ ID string } }
	if json.Unmarshal(list, &doc) == nil && len(doc.Data) > 0 {
		return doc.Data[0].ID, nil
	}
	return "", withHint(errors.New("the server offers no model"), "Try again in a minute, or ask whoever runs it.")
}

// configDir is the folder of this program's own files.
func configDir() (string, error) {
	if dir := os.Getenv("SOTTO_CONFIG_DIR"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", withHint(fmt.Errorf("there is no folder for settings: %w", err), "Set HOME or SOTTO_CONFIG_DIR.")
	}
	return filepath.Join(dir, "sotto"), nil
}

// writePrivate writes a file that only this user can read, whole or not at all.
func writePrivate(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return replaceFile(name, data, 0o600)
}

// replaceFile writes a file, whole or not at all.
func replaceFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
