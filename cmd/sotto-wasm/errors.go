// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/sotto-chat/sotto/client"
	"github.com/sotto-chat/sotto/vault"
)

// coreError is an error with a code that the page branches on and a sentence
// that says what to do: CoreError of web/src/core/protocol.ts.
type coreError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *coreError) Error() string { return e.Message }

// apiError is a refusal of the account server, with all that it answered.
type apiError struct {
	*coreError
	body string
}

// Unwrap returns the code and the sentence.
func (e *apiError) Unwrap() error { return e.coreError }

var (
	errLocked      = &coreError{"locked", "Your history is locked. Open it with your passkey first."}
	errNoChat      = &coreError{"no_chat", "This chat isn’t there any more. It may have been deleted on another device."}
	errNoMessage   = &coreError{"no_message", "This message isn’t there any more. It may have been deleted on another device."}
	errEmpty       = &coreError{"empty", "There is nothing to send. Write something first."}
	errNoModel     = &coreError{"no_model", "No model is chosen. Choose one next to the message box."}
	errBusy        = &coreError{"busy", "An answer is being written in this chat. Wait for its end or stop it first."}
	errNotLocal    = &coreError{"not_local", "Demo hardware is only accepted on this computer itself, at localhost."}
	errConsent     = &coreError{"consent", "Not sent. This is demo hardware, which can’t keep your words private. Accept that once, or use a server with protected hardware."}
	errNoDraft     = &coreError{"no_draft", "This took too long. Start again."}
	errTyped       = &coreError{"kit_mismatch", "These aren’t the groups that were asked for. Compare them with your kit and type them again."}
	errWrongWay    = &coreError{"wrong_passkey", "This passkey doesn’t open the history. Use the one you signed up with, your passphrase, or your recovery kit."}
	errWrongPhrase = &coreError{"wrong_passphrase", "This passphrase doesn’t open the history. Try again, or use your recovery kit."}
	errWrongKit    = &coreError{"wrong_kit", "This kit doesn’t open the history. If you have made a newer one, use that."}
	errPassphrase  = &coreError{"passphrase_needed", "This passkey gives no key, so your passphrase opens the history."}
	errUsed        = &coreError{"allowance_used", "You have used today’s messages. New ones come tomorrow; what you typed stays here."}
	errTaken       = &coreError{"tokens_taken", "Another tab of this browser has just sent a message. Send it again."}
	errPlan        = &coreError{"plan", "What the server says of your plan can’t be read. Reload the page; if it happens again, whoever runs the server has to look at it."}
	errShortPhrase = &coreError{"short_passphrase", "A passphrase needs at least 12 characters. Four or five random words are good."}
)

// explain says what err means for a person.
func explain(err error) *coreError {
	var own *coreError
	if errors.As(err, &own) {
		return own
	}
	var typo *vault.RecoveryKeyError
	if errors.As(err, &typo) {
		if typo.Group > 0 {
			return &coreError{"kit_typo", fmt.Sprintf("Group %d has a typo. Compare it with your kit.", typo.Group)}
		}
		return &coreError{"kit_length", fmt.Sprintf("A kit has 8 groups of 5 characters; this has %d characters.", typo.Have)}
	}
	if code := historyCode(err); code != "" {
		return &coreError{code, historyText(code)}
	}
	switch {
	case errors.Is(err, vault.ErrWrongKey):
		return &coreError{"wrong_key", "This doesn’t open the history. Try another way in."}
	case errors.Is(err, vault.ErrTooLarge):
		return &coreError{"too_large", "This message is too long to keep. Split it into shorter ones."}
	}
	s := client.Explain(err)
	return &coreError{s.Code, s.String()}
}

// historyCode names an error that says that the server's copy of the history
// doesn't fit; "" for other errors.
func historyCode(err error) string {
	for _, c := range []struct {
		is   error
		code string
	}{
		{vault.ErrRollback, "rolled_back"},
		{vault.ErrFork, "forked"},
		{vault.ErrHidden, "hidden"},
		{vault.ErrTampered, "changed"},
		{vault.ErrSwapped, "swapped"},
		{vault.ErrForeign, "foreign"},
		{vault.ErrReplayed, "repeated"},
	} {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	return ""
}

// refusedText says that the server's copy was refused as a whole, which a person
// can do something about.
func refusedText(code string) string {
	const then = " Everything that this device has is kept. Until you decide, nothing new is saved at the server."
	if code == "rolled_back" {
		return "The server went back to an older copy of your history, as after a backup was restored." + then
	}
	return "The server now shows another history than it did before." + then
}

// historyText says what a code of historyCode means and what to do.
func historyText(code string) string {
	const then = " What this device has is kept. Export it, and ask whoever runs the server."
	switch code {
	case "rolled_back":
		return "The server went back to an older copy of your history." + then
	case "forked":
		return "The server shows another history than it did before, or than it shows to another of your devices." + then
	case "hidden":
		return "The server keeps back a part of your history." + then
	case "changed":
		return "A part of your history was changed by somebody who doesn’t have your key." + then
	default:
		return "The server put a part of your history in a wrong place." + then
	}
}
