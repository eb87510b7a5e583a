// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/sotto-chat/sotto/engine"
	"github.com/sotto-chat/sotto/internal/door"
	"github.com/sotto-chat/sotto/seal/bhttp"
	"github.com/sotto-chat/sotto/seal/machine"
)

// answerIDHeader names the answer in a sealed request: 32 random bytes in
// base64url. With it the node keeps the answer and finishes it whatever
// becomes of the connection; without it a closed connection stops the engine.
const answerIDHeader = "sotto-answer-id"

type answerID [32]byte

// reply is an answer before it is sealed. Exactly one of body and text is set.
// It goes by pointer: a stream's goroutine keeps its frames for minutes.
type reply struct {
	status int
	header []bhttp.Field
	class  machine.Class
	body   io.ReadCloser // an engine's answer; the reply owns it
	text   []byte        // all of an answer of our own

	// Of the engine's work on body: whether it is still wanted.
	ctx  context.Context
	stop context.CancelFunc
}

// control is [Node.inside] for what makes no new answer. The gateway takes no
// token for it, so nothing that a token pays for is served here: none of what
// reaches the model but the list of models.
func (n *Node) control(ctx context.Context, opened *machine.Opened, req *bhttp.Request, out *wire) {
	switch req.Method + " " + req.Path {
	case "POST /sotto/v1/resume", "POST /sotto/v1/cancel", "POST /sotto/v1/fresh", "GET /v1/models":
		n.inside(ctx, opened, req, out)
	default:
		n.answerNow(ctx, opened, out, oops(http.StatusForbidden, "invalid_request_error", "not_control", "This way is for resuming, stopping, checking and the list of models only. Send questions to /sotto/v1/seal."))
	}
}

// inside answers an opened request. Nothing that goes wrong from here on is
// said in the clear.
func (n *Node) inside(ctx context.Context, opened *machine.Opened, req *bhttp.Request, out *wire) {
	path, _, _ := strings.Cut(req.Path, "?")
	switch {
	case req.Method == "POST" && path == "/sotto/v1/resume":
		n.resume(ctx, opened, out, req.Body)
		return
	case req.Method == "POST" && path == "/sotto/v1/cancel":
		n.answerNow(ctx, opened, out, n.cancel(req.Body))
		return
	case req.Method == "POST" && path == "/sotto/v1/fresh":
		n.answerNow(ctx, opened, out, n.fresh(opened.KeyID, req.Body))
		return
	}
	ask := &engine.Request{
		Method: req.Method, Path: req.Path,
		ContentType: bhttp.Get(req.Header, "content-type"), Body: req.Body,
	}
	id, given, err := parseAnswerID(req.Header)
	wrong := engine.Check(ask) // before anything is kept for it
	switch {
	case wrong != nil:
		n.answerNow(ctx, opened, out, oops(wrong.Status, wrong.Type, wrong.Code, wrong.Message))
	case err != nil:
		n.answerNow(ctx, opened, out, oops(http.StatusBadRequest, "invalid_request_error", "answer_id", "The answer's id must be 32 bytes in base64url."))
	case given:
		n.answerKept(ctx, opened, out, ask, id)
	default:
		n.answerWhileConnected(ctx, opened, out, ask)
	}
}

func parseAnswerID(header []bhttp.Field) (id answerID, given bool, err error) {
	for _, f := range header {
		if f.Name != answerIDHeader {
			continue
		}
		if given {
			return id, true, errors.New("two answer ids")
		}
		given = true
		if id, err = decodeAnswerID(f.Value); err != nil {
			return id, true, err
		}
	}
	return id, given, nil
}

func decodeAnswerID(s string) (id answerID, err error) {
	if len(s) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return id, errors.New("wrong length")
	}
	_, err = base64.RawURLEncoding.Strict().Decode(id[:], []byte(s))
	return id, err
}

// answerWhileConnected answers for as long as the connection lives.
func (n *Node) answerWhileConnected(ctx context.Context, opened *machine.Opened, out *wire, ask *engine.Request) {
	engineCtx, stop := context.WithTimeout(ctx, n.cfg.Limits.AnswerTime)
	defer stop()
	n.stats.live.Add(1)
	defer n.stats.live.Add(-1)
	rep := n.ask(engineCtx, stop, ask)
	if rep == nil {
		n.engineAway(out)
		return
	}
	_ = n.send(ctx, opened, rep, out) // on an error the client has gone, and the engine knows
}

// answerKept starts an answer that lives on its own, and follows it.
func (n *Node) answerKept(ctx context.Context, opened *machine.Opened, out *wire, ask *engine.Request, id answerID) {
	if n.stats.live.Add(1) > int64(n.cfg.Limits.Requests) {
		n.stats.live.Add(-1)
		n.answerNow(ctx, opened, out, busy())
		return
	}
	engineCtx, stop := context.WithTimeout(n.life, n.cfg.Limits.AnswerTime)
	k, ok := n.shelf.put(id, stop)
	if !ok {
		stop()
		n.stats.live.Add(-1)
		n.answerNow(ctx, opened, out, oops(http.StatusConflict, "invalid_request_error", "answer_id", "There is an answer with this id already."))
		return
	}
	go func() {
		defer n.stats.live.Add(-1)
		defer stop()
		defer n.shelf.finish(k)
		defer n.contain("answer")
		rep := n.ask(engineCtx, stop, ask)
		if k.away = rep == nil; !k.away {
			k.complete = n.send(n.life, opened, rep, k) == nil
		}
	}()
	switch err := k.follow(ctx, 0, out); {
	case errors.Is(err, errNothing) && k.away:
		n.engineAway(out)
	case errors.Is(err, errNothing):
		n.answerNow(ctx, opened, out, engineReply(err, ask.WantsStream()))
	}
}

// answerNow answers a request with what is known already.
func (n *Node) answerNow(ctx context.Context, opened *machine.Opened, out *wire, rep *reply) {
	_ = n.send(ctx, opened, rep, out) // on an error nobody is left to tell
}

// send seals a reply into out, until ctx ends. Where only the engine's work has
// been stopped, a stream is still brought to its end.
func (n *Node) send(ctx context.Context, opened *machine.Opened, rep *reply, out sink) error {
	defer rep.close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case rep.class == machine.ClassBulk:
		return n.sendBulk(ctx, opened, rep, out)
	default:
		return n.sendPaced(ctx, opened, rep, out)
	}
}

var errPanicked = errors.New("the engine panicked")

// engineAway refuses in the clear, as if the request had not been opened: where
// nothing listens, whatever was asked, a gateway can go to another machine, and
// give back what was paid.
func (n *Node) engineAway(out *wire) {
	n.turnAway(out.w, http.StatusServiceUnavailable, door.EngineAway, "The model isn't running on this machine. Try another one.")
}

// ask has the engine answer. Errors come back as replies, but for one: nil says
// that nothing listens where the engine should. stop ends ctx.
func (n *Node) ask(ctx context.Context, stop context.CancelFunc, req *engine.Request) *reply {
	resp, err := n.do(ctx, req)
	if e := (*engine.Error)(nil); errors.As(err, &e) && (e.Code == engine.CodeRefused || e.Code == engine.CodeDNS) {
		return nil
	}
	if err != nil {
		return engineReply(err, req.WantsStream())
	}
	rep := &reply{status: resp.Status, class: machine.ClassBulk, body: &guarded{resp.Body, n}, ctx: ctx, stop: stop}
	if resp.ContentType != "" {
		rep.header = append(rep.header, bhttp.Field{Name: "content-type", Value: resp.ContentType})
	}
	for _, f := range resp.Header {
		rep.header = append(rep.header, bhttp.Field{Name: f.Name, Value: f.Value})
	}
	if t, _, err := mime.ParseMediaType(resp.ContentType); err == nil && t == "text/event-stream" {
		rep.class = machine.ClassStream
	}
	return rep
}

func (n *Node) do(ctx context.Context, req *engine.Request) (resp *engine.Response, err error) {
	err = errPanicked
	defer n.contain("engine")
	return n.cfg.Engine.Do(ctx, req)
}

// guarded is an engine's body whose panics are errors.
type guarded struct {
	io.ReadCloser
	n *Node
}

func (g *guarded) Read(p []byte) (k int, err error) {
	err = errPanicked
	defer g.n.contain("engine")
	return g.ReadCloser.Read(p)
}

// engineReply makes an engine's error a reply. Where a stream was asked for it
// has a stream's shape, so that a refusal looks like a short answer.
func engineReply(err error, stream bool) *reply {
	var e *engine.Error
	if !errors.As(err, &e) {
		// Not the engine's words: they may quote the request.
		e = &engine.Error{Status: http.StatusBadGateway, Type: "server_error", Code: engine.CodeFailed, Message: "The model could not answer. Try again."}
	}
	rep := &reply{status: e.Status, header: jsonHeader, class: machine.ClassBulk, text: e.JSON()}
	if e.RetryAfter > 0 {
		rep.retryAfter(e.RetryAfter)
	}
	if stream {
		rep.class = machine.ClassStream
	}
	return rep
}

var jsonHeader = []bhttp.Field{{Name: "content-type", Value: "application/json"}}

// oops is a refusal of our own, in the shape that OpenAI clients know.
func oops(status int, kind, code, message string) *reply {
	e := engine.Error{Status: status, Type: kind, Code: code, Message: message}
	return &reply{status: status, header: jsonHeader, class: machine.ClassStream, text: e.JSON()}
}

func busy() *reply {
	rep := oops(http.StatusServiceUnavailable, "server_error", door.Busy, "This machine has all the work that it can take. Try again in a moment.")
	return rep.retryAfter(2 * time.Second)
}

func (rep *reply) close() {
	if rep.body != nil {
		rep.stop()
		rep.body.Close()
	}
}

// resume sends a kept answer again: its header, then its records from number
// "next" on, the ones to come too.
func (n *Node) resume(ctx context.Context, opened *machine.Opened, out *wire, body []byte) {
	var req struct {
		ID   string `json:"id"`
		Next uint64 `json:"next"`
	}
	id, err := decodeStrict(body, &req, &req.ID)
	if err != nil {
		n.answerNow(ctx, opened, out, malformedBody())
		return
	}
	k := n.shelf.get(id)
	if k == nil || !k.has(req.Next) {
		n.answerNow(ctx, opened, out, gone())
		return
	}
	n.stats.resumed.Add(1)
	if err := k.follow(ctx, req.Next, out); errors.Is(err, errNothing) {
		n.answerNow(ctx, opened, out, gone())
	}
}

// cancel stops the engine's work on a kept answer.
func (n *Node) cancel(body []byte) *reply {
	var req struct {
		ID string `json:"id"`
	}
	id, err := decodeStrict(body, &req, &req.ID)
	if err != nil {
		return malformedBody()
	}
	k := n.shelf.get(id)
	if k == nil {
		return gone()
	}
	k.stop()
	return &reply{status: http.StatusOK, header: jsonHeader, class: machine.ClassStream, text: []byte(`{"cancelled":true}`)}
}

func gone() *reply {
	return oops(http.StatusGone, "invalid_request_error", "answer_gone", "This machine no longer has that answer.")
}

func malformedBody() *reply {
	return oops(http.StatusBadRequest, "invalid_request_error", "malformed", "The request names no answer.")
}

// decodeStrict decodes a small JSON body that names an answer.
func decodeStrict(body []byte, v any, id *string) (answerID, error) {
	if len(body) > 1024 {
		return answerID{}, errors.New("too long")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return answerID{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return answerID{}, errors.New("bytes after the end")
	}
	return decodeAnswerID(*id)
}
