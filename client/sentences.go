// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/attest"
	"github.com/sotto-chat/sotto/keylog"
	"github.com/sotto-chat/sotto/seal"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/tlog"
	"github.com/sotto-chat/sotto/token/wallet"
)

// A Sentence is an error as a person should read it. The terminal, the proxy
// and the page all take their words from here.
type Sentence struct {
	// Code names what happened, from the closed list of this file. Branch on
	// it, never on the words.
	Code string
	// Text says what happened, in one plain sentence.
	Text string
	// Hint says what to do about it, in one plain sentence; "" if nothing
	// can be done.
	Hint string
}

func (s Sentence) String() string { return strings.TrimSpace(s.Text + " " + s.Hint) }

// Codes of sentences that a surface may want to branch on. Verdict failures
// and the codes of services and model servers keep their own names.
const (
	SaysSoftwareRefused = attest.FailSoftwareRefused
	SaysNotVerified     = "not_verified"
	SaysUnknown         = "cannot_check"
	SaysUnreachable     = "unreachable"
	SaysInterrupted     = "interrupted"
	SaysAltered         = "altered"
	SaysStopped         = "stopped"
	SaysGone            = "gone"
	SaysModelServer     = "model_server"
	SaysInternal        = "internal"

	SaysRelay      = "relay_refused"
	SaysNoneLeft   = "none_left"
	SaysSignIn     = "sign_in"
	SaysOtherClock = "other_clock"
)

const kept = "What you see so far is genuine."

// notSent begins the sentences about machines that did not pass.
const notSent = "Not sent. "

// verdictSentences says what it means that no machine passed, by the failure's
// name. The verdict itself says more, behind "show me".
var verdictSentences = map[string]Sentence{
	attest.FailSoftwareRefused: {Text: notSent + "This server runs on demo hardware, which can’t keep your words private.",
		Hint: "Use a server with protected hardware, or accept the demo if nothing you write matters."},
	attest.FailKeyExpired: {Text: notSent + "The proof that the server shows is out of date.",
		Hint: "Try again in a minute; if it stays so, check that this device’s clock is right."},
	attest.FailKeyNotYetValid: {Text: notSent + "The proof that the server shows is from the future.",
		Hint: "Check that this device’s clock is right, then try again."},
	attest.FailPlatformUnknown: {Text: notSent + "This server shows a kind of proof that this version of Sotto can’t check.",
		Hint: "Update Sotto, then try again."},
	attest.FailCollateralExpired: {Text: notSent + "A part of the machine’s proof is out of date, so it can’t be checked now.",
		Hint: "Try again later; whoever runs the server has to renew it."},
	attest.FailCollateralMissing: {Text: notSent + "A part of the machine’s proof is missing, so it can’t be checked.",
		Hint: "Try again later; whoever runs the server has to add it."},
	attest.FailReleaseRefused: {Text: notSent + "The machine runs a version that this app does not accept.",
		Hint: "Update Sotto; if you have, don’t trust this server."},
	attest.FailLogUnavailable: {Text: notSent + "The public log of releases can’t be asked right now.",
		Hint: "Try again in a minute."},
	attest.FailLogStale: {Text: notSent + "It is too long ago that witnesses saw the public log of releases.",
		Hint: "Try again later; if it stays so, check that this device’s clock is right."},
	attest.FailLogRollback: {Text: notSent + "The public log of releases is shorter than it was, which can’t be.",
		Hint: "Don’t trust this server until whoever runs it explains why."},
	attest.FailLogSplitView: {Text: notSent + "The public log of releases tells another story than before: somebody may be shown another one.",
		Hint: "Don’t trust this server, and tell others what you saw."},
	attest.FailReleaseUnlogged: {Text: notSent + "The machine runs a version that is not in the public log.",
		Hint: "Don’t trust this server until whoever runs it explains why."},
	attest.FailReleaseRevoked: {Text: notSent + "The machine runs an old version that its makers have taken back.",
		Hint: "Try again later; whoever runs the server has to update it."},
	attest.FailPageChanged: {Text: notSent + "This page is not the one that was published.",
		Hint: "Close it, and use “sotto app” or the terminal."},
}

// serviceSentences says what a service answered, by code. Its own words are
// not shown: anybody on the way could have written them.
var serviceSentences = map[string]Sentence{
	CodeKeyUnknown:         {Text: "The machine that this was sealed to has just been replaced.", Hint: "Try again."},
	CodeKeyExpired:         {Text: "The machine that this was sealed to has just changed its key.", Hint: "Try again."},
	CodeNoNode:             {Text: "None of the machines that this was sealed to is there any more.", Hint: "Try again."},
	CodeEngineAway:         {Text: "The model isn’t running on this machine.", Hint: "Start it, or try again in a minute."},
	CodeNodeUnreachable:    {Text: "The service can’t reach its machines right now.", Hint: "Try again in a minute."},
	CodeSlowDown:           {Text: "The relay asks to slow down.", Hint: "Try again in a minute."},
	CodeGatewayUnreachable: {Text: "The relay can’t reach the service right now.", Hint: "Nothing was lost; try again in a minute."},
	CodeOriginUnknown:      {Text: "The relay doesn’t serve this page.", Hint: "Whoever runs the service has to have it added there."},
	CodeBusy:               {Text: "All machines are busy right now.", Hint: "Try again in a minute."},
	CodeReplayed:           {Text: "The service was handed the same sealed message twice and refused the second.", Hint: "Send it again."},
	CodeTooLarge:           {Text: "This is too large to send.", Hint: "Shorten it, or send fewer or smaller files."},
	CodeMalformed:          {Text: "The service could not read the sealed message.", Hint: "Update Sotto, then try again."},

	CodeTokenMissing:   {Text: "This service answers only messages that come with a token.", Hint: "Sign in, or run “sotto login”; then send it again."},
	"token_malformed":  {Text: "The service could not read the token that came with the message.", Hint: "Update Sotto, then try again."},
	"token_foreign":    {Text: "The token that came with the message is of another service, or of a day that is over.", Hint: "Try again; it takes a new one."},
	"token_expired":    {Text: "The token that came with the message was for a day that is over.", Hint: "Try again; it takes a new one. If it stays so, check that this device’s clock is right."},
	"token_future":     {Text: "The token that came with the message is for a day that hasn’t begun.", Hint: "Check that this device’s clock is right, then try again."},
	"token_invalid":    {Text: "The token that came with the message is not one that the service signed.", Hint: "Try again; it takes a new one."},
	"token_spent":      {Text: "The token that came with the message was used before.", Hint: "Try again; it takes a new one."},
	"holder_invalid":   {Text: "The token that came with the message belongs to somebody else.", Hint: "Try again; it takes a new one."},
	"refund_malformed": {Text: "The service could not read what the message asked back.", Hint: "Update Sotto, then try again."},
}

// keyLogSentences says what is wrong with the key log, by the failure's name.
var keyLogSentences = map[string]Sentence{
	keylog.FailMissing: {Text: notSent + "The key log has no key for today.",
		Hint: "Check that this device’s clock is right, then try again in a minute."},
	keylog.FailDuplicate: {Text: notSent + "This service gives people different keys, by which it could tell them apart.",
		Hint: "Don’t trust this server, and tell others what you saw."},
	keylog.FailOtherList: {Text: notSent + "The service’s list of machines has just changed.",
		Hint: "Try again in a minute."},
	keylog.FailUnlisted: {Text: notSent + "The service put another machine in the place of one that this app had drawn.",
		Hint: "Don’t trust this server, and tell others what you saw."},
	keylog.FailSteered: {Text: notSent + "Of the machines that this app draws by chance so few are said to be up that somebody may be choosing for you.",
		Hint: "Try again later; if it stays so, don’t trust this server."},
	tlog.FailStale: {Text: notSent + "It is too long ago that witnesses saw the key log.",
		Hint: "Try again later; if it stays so, check that this device’s clock is right."},
	tlog.FailRollback: {Text: notSent + "The key log is shorter than it was, which can’t be.",
		Hint: "Don’t trust this server until whoever runs it explains why."},
	tlog.FailSplitView: {Text: notSent + "The key log tells another story than before: somebody may be shown another one.",
		Hint: "Don’t trust this server, and tell others what you saw."},
}

// plainSentences are those of errors that have no parts. The first that fits
// counts, so what says more comes first.
var plainSentences = []struct {
	is error
	Sentence
}{
	{context.Canceled, Sentence{SaysStopped, "Stopped.", ""}},
	{errClosed, Sentence{SaysStopped, "Stopped.", ""}},
	{seal.ErrAuthentication, Sentence{SaysAltered, "The answer was changed on its way, so the rest of it was not shown.", kept + " Ask again, if you can over another network."}},
	{seal.ErrTooLarge, Sentence{CodeTooLarge, "This is too large to send.", "Shorten it, or send fewer or smaller files."}},
	{ErrRelay, Sentence{SaysRelay, notSent + "The relay that this service offers is not one that its release names.", "Don’t trust this server until whoever runs it explains why."}},
	{ErrRelayKey, Sentence{SaysRelay, notSent + "The relay hands out a key that is not in the key log.", "Try again in a minute; if it stays so, don’t trust this relay."}},
	{errRelay, Sentence{SaysRelay, notSent + "What came through the relay is not an answer to what was asked.", "Try again in a minute."}},
	{wallet.ErrSignedOut, Sentence{SaysSignIn, notSent + "This service answers only people with an account.", "Sign in, or run “sotto login”."}},
	{wallet.ErrDayUnknown, Sentence{SaysOtherClock, notSent + "This device’s day is not the service’s.", "Set the clock, then try again."}},
	{ErrGone, Sentence{SaysGone, "The rest of this answer is no longer kept.", "Ask again."}},
	{ErrInterrupted, Sentence{SaysInterrupted, "The connection dropped and the answer could not be taken up again.", kept + " Ask again for the rest."}},
	{seal.ErrFormat, Sentence{SaysAltered, "The answer does not have the agreed form, so the rest of it was not shown.", kept + " Update Sotto, then ask again."}},
	{seal.ErrPadding, Sentence{SaysAltered, "The answer does not have the agreed form, so the rest of it was not shown.", kept + " Update Sotto, then ask again."}},
	{seal.ErrVersion, Sentence{SaysAltered, "The answer has a form that this version of Sotto does not know.", "Update Sotto, then ask again."}},
	{seal.ErrTruncated, Sentence{SaysInterrupted, "The answer broke off.", kept + " Ask again for the rest."}},
	{bhttp.ErrTruncated, Sentence{SaysInterrupted, "The answer broke off.", kept + " Ask again for the rest."}},
	{bhttp.ErrFormat, Sentence{SaysAltered, "The machine’s answer does not have the agreed form.", "Update Sotto, then ask again."}},
	{ErrAnswer, Sentence{SaysUnreachable, "Something between here and the service answered in its place.", "If this network asks you to sign in first, do that, then try again."}},
	{ErrNoNodes, Sentence{CodeNoNode, "The service has no machine to answer right now.", "Try again in a minute."}},
	{ErrNodeList, Sentence{SaysUnknown, "The service’s list of machines can’t be read.", "Check the address of the server; if it is right, update Sotto."}},
	{ErrOtherKey, Sentence{SaysNotVerified, "The machine was asked to prove itself anew and spoke of another key.", "Don’t trust this server until whoever runs it explains why."}},
	{ErrCut, Sentence{SaysModelServer, "The model stopped before the end of its answer.", kept + " Ask again for the rest."}},
	{ErrEventStream, Sentence{SaysModelServer, "The model server sent something that is not an answer.", "Ask again; if it happens again, whoever runs the server has to look at it."}},
	{ErrPending, Sentence{SaysGone, "What was noted of this answer can’t be read.", "Ask again."}},
	{ErrTooLarge, Sentence{CodeTooLarge, "This is too large.", "Ask for less at a time."}},
	{ErrUnreachable, Sentence{SaysUnreachable, "The server can’t be reached.", "Check the connection and the address of the server, then try again."}},
	{context.DeadlineExceeded, Sentence{SaysUnreachable, "The server took too long.", "Try again."}},
}

// Explain says what err means for a person. It never returns an empty Text,
// and "" for everything if err is nil.
func Explain(err error) Sentence {
	if err == nil {
		return Sentence{}
	}
	var nv *NotVerifiedError
	if errors.As(err, &nv) {
		return explainVerdicts(nv)
	}
	var api *APIError
	if errors.As(err, &api) {
		return explainAPI(api)
	}
	var kl *KeyLogError
	if errors.As(err, &kl) {
		return explainKeyLog(kl)
	}
	var none *wallet.ErrNoneLeft
	if errors.As(err, &none) {
		return explainNoneLeft(none, time.Now())
	}
	for _, p := range plainSentences {
		if errors.Is(err, p.is) {
			return p.Sentence
		}
	}
	var se *ServiceError
	if errors.As(err, &se) {
		return explainService(se)
	}
	return Sentence{SaysInternal, "Something went wrong that Sotto has no words for: " + printable(err.Error(), 300), "Try again; if it happens again, please report it."}
}

func explainKeyLog(e *KeyLogError) Sentence {
	if s, ok := keyLogSentences[e.Failure]; ok {
		s.Code = e.Failure
		return s
	}
	return Sentence{e.Failure, notSent + "What came as the key log can’t be believed.", "Don’t trust this server until whoever runs it explains why."}
}

// explainNoneLeft says when there are messages again, in the person's own time.
func explainNoneLeft(e *wallet.ErrNoneLeft, now time.Time) Sentence {
	s := Sentence{SaysNoneLeft, notSent + "There are no messages left for now.", "What you wrote stays here; try again later."}
	wait := time.Unix(e.Resets, 0).Sub(now)
	switch {
	case e.Resets == 0 || wait <= 0:
	case wait < time.Hour:
		s.Hint = "New ones come in " + fmt.Sprintf("%d min", int(wait/time.Minute)+1) + "; what you wrote stays here."
	default:
		s.Text = notSent + "There are no messages left today."
		s.Hint = "New ones come at " + clock(e.Resets) + ", your time; what you wrote stays here."
	}
	return s
}

func explainVerdicts(e *NotVerifiedError) Sentence {
	if s, ok := verdictSentences[e.Failure()]; ok {
		s.Code = e.Failure()
		return s
	}
	if !e.failed() {
		return Sentence{SaysUnknown, notSent + "The server’s machine can’t be checked right now.", "Try again later."}
	}
	return Sentence{SaysNotVerified, notSent + "The server’s machine could not prove what it is.",
		"Don’t trust this server until whoever runs it explains why."}
}

// explainAPI takes the words of the model server, which come sealed from the
// machine and are meant for people.
func explainAPI(e *APIError) Sentence {
	code := e.Code
	if !isWord(code) {
		code = SaysModelServer
	}
	if e.Message != "" {
		return Sentence{Code: code, Text: e.Message}
	}
	return Sentence{code, "The model server could not answer.", "Try again; if it happens again, try another model."}
}

func explainService(e *ServiceError) Sentence {
	if s, ok := serviceSentences[e.Code]; ok {
		s.Code = e.Code
		return s
	}
	switch {
	case e.Status == 404 || e.Status == 405:
		return Sentence{SaysUnreachable, "There is no Sotto service at this address.", "Check the address of the server."}
	case e.Status == 429:
		return Sentence{CodeBusy, "The service asks to slow down.", "Try again in a minute."}
	case e.Status >= 500:
		return Sentence{SaysUnreachable, "The service has a problem right now.", "Try again in a minute."}
	}
	return Sentence{SaysUnreachable, "The service refused.", "Check the address of the server, then try again."}
}
