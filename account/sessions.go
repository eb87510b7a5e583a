// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package account

import (
	"net/http"

	"github.com/sotto-chat/sotto/store"
	"github.com/sotto-chat/sotto/vault"
)

// sessionInfo is a session as its owner sees it.
type sessionInfo struct {
	ID      vault.RecordID `json:"id"`
	Kind    string         `json:"kind"`
	Label   []byte         `json:"label,omitempty"`
	Created store.Day      `json:"created"`
	Seen    store.Day      `json:"seen"`
	Current bool           `json:"current"`
}

func infoOf(s store.Session, current vault.RecordID) sessionInfo {
	return sessionInfo{s.ID, s.Kind, s.Label, s.Created, s.Seen, s.ID == current}
}

func infoOfNew(n store.NewSession) sessionInfo {
	return sessionInfo{n.ID, n.Kind, n.Label, n.Day, n.Day, true}
}

func (s *Server) getSession(r *http.Request, session store.Session) (any, error) {
	wraps, err := s.store.Wraps(r.Context(), session.Account)
	if err != nil {
		return nil, err
	}
	return signedIn{session.Account, infoOf(session, session.ID), wraps}, nil
}

// signedIn is the answer to every way of signing in.
type signedIn struct {
	Account vault.AccountID `json:"account"`
	Session sessionInfo     `json:"session"`
	Wraps   []vault.Wrap    `json:"wraps"`
}

// enter signs a browser in to an account.
func (s *Server) enter(r *http.Request, account vault.AccountID) (any, error) {
	token, n := s.newSession(store.Browser, nil)
	if err := s.store.AddSession(r.Context(), account, n); err != nil {
		return nil, err
	}
	wraps, err := s.store.Wraps(r.Context(), account)
	if err != nil {
		return nil, err
	}
	return &reply{cookie: s.cookie(token), body: signedIn{account, infoOfNew(n), wraps}}, nil
}

func (s *Server) signOut(r *http.Request, session store.Session) (any, error) {
	if err := read(r, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	if err := s.endSession(r, session.Account, session.ID); err != nil {
		return nil, err
	}
	return &reply{cookie: s.cookie("")}, nil
}

func (s *Server) getSessions(r *http.Request, session store.Session) (any, error) {
	list, err := s.store.Sessions(r.Context(), session.Account)
	if err != nil {
		return nil, err
	}
	infos := make([]sessionInfo, len(list))
	for i, other := range list {
		infos[i] = infoOf(other, session.ID)
	}
	return map[string]any{"sessions": infos}, nil
}

func (s *Server) labelSession(r *http.Request, session store.Session) (any, error) {
	id, err := pathID(r, errSessionUnknown)
	if err != nil {
		return nil, err
	}
	label, err := readLabel(r)
	if err != nil {
		return nil, err
	}
	err = s.store.LabelSession(r.Context(), session.Account, id, label)
	return nil, translate(err, map[error]*problem{store.ErrNotFound: errSessionUnknown})
}

func readLabel(r *http.Request) ([]byte, error) {
	var body struct {
		Label []byte `json:"label"`
	}
	if err := read(r, maxBody, &body); err != nil {
		return nil, err
	}
	return body.Label, checkLabel(body.Label)
}

func (s *Server) deleteSession(r *http.Request, session store.Session) (any, error) {
	id, err := pathID(r, errSessionUnknown)
	if err != nil {
		return nil, err
	}
	return nil, s.endSession(r, session.Account, id)
}

func (s *Server) endSession(r *http.Request, account vault.AccountID, id vault.RecordID) error {
	err := s.store.DeleteSession(r.Context(), account, id)
	s.hub.end(account, &id)
	return translate(err, map[error]*problem{store.ErrNotFound: errSessionUnknown})
}

func (s *Server) deleteAccount(r *http.Request, session store.Session) (any, error) {
	// A person who leaves in the middle of it still wants it done. A checkout that is
	// being opened is waited for: its page would otherwise outlive the account.
	if s.billing != nil {
		release, err := s.billing.locks.take(r.Context(), session.Account)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	if err := s.store.DeleteAccount(detached(r), session.Account); err != nil {
		return nil, translate(err, map[error]*problem{store.ErrNotFound: errSignedOut})
	}
	s.hub.end(session.Account, nil)
	s.afterDeletion(detached(r))
	return &reply{cookie: s.cookie("")}, nil
}
