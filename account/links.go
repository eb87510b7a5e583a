// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

const (
	linkLife = 10 * time.Minute
	pollSize = 32
)

func (s *Server) newLink(r *http.Request) (any, error) {
	var body struct {
		PublicKey []byte `json:"public_key"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	if !vault.IsOffer(body.PublicKey) {
		return nil, errMalformed
	}
	poll := make([]byte, pollSize)
	rand.Read(poll)
	l := store.Link{ID: vault.NewRecordID(), Poll: sha256.Sum256(poll), Offer: body.PublicKey, Expires: s.now().Add(linkLife)}
	if err := s.store.AddLink(r.Context(), l, s.now()); err != nil {
		return nil, err
	}
	return map[string]any{"id": l.ID, "poll_secret": poll, "expires": l.Expires.Unix()}, nil
}

var linkErrors = map[error]*problem{
	store.ErrNotFound: errLinkUnknown,
	store.ErrUsed:     errLinkUsed,
	store.ErrTooMany:  errTooMany,
}

func (s *Server) getLink(r *http.Request, _ store.Session) (any, error) {
	id, err := pathID(r, errLinkUnknown)
	if err != nil {
		return nil, err
	}
	l, err := s.store.Link(r.Context(), id, s.now())
	if err != nil {
		return nil, translate(err, linkErrors)
	}
	return map[string]any{"public_key": l.Offer, "expires": l.Expires.Unix()}, nil
}

func (s *Server) approveLink(r *http.Request, session store.Session) (any, error) {
	id, err := pathID(r, errLinkUnknown)
	if err != nil {
		return nil, err
	}
	var body struct {
		Wrap  vault.Wrap `json:"wrap"`
		Label []byte     `json:"label"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	if err := checkLabel(body.Label); err != nil {
		return nil, err
	}
	if err := checkWrap(body.Wrap, vault.KindDevice); err != nil {
		return nil, err
	}
	return nil, translate(s.store.ApproveLink(r.Context(), id, session.Account, body.Wrap, body.Label, s.now()), linkErrors)
}

func (s *Server) pollLink(r *http.Request) (any, error) {
	id, err := pathID(r, errLinkUnknown)
	if err != nil {
		return nil, err
	}
	var body struct {
		PollSecret []byte `json:"poll_secret"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	l, err := s.store.Link(r.Context(), id, s.now())
	if err != nil {
		return nil, translate(err, linkErrors)
	}
	if given := sha256.Sum256(body.PollSecret); subtle.ConstantTimeCompare(given[:], l.Poll[:]) != 1 {
		return nil, errLinkUnknown
	}
	if l.Account == nil {
		return &reply{status: http.StatusAccepted, body: map[string]string{"status": "pending"}}, nil
	}
	token, n := s.newSession(store.Terminal, nil)
	if l, err = s.store.RedeemLink(r.Context(), id, n, s.now()); err != nil {
		return nil, translate(err, linkErrors)
	}
	n.Label = l.Label
	return map[string]any{"status": "approved", "account": l.Account, "token": token, "session": infoOfNew(n), "wrap": l.Wrap}, nil
}
