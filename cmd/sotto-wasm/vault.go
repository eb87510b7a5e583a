// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"sort"

	"github.com/sotto-chat/sotto/vault"
)

// vaultState is the vault while it is open. Locking it ends the Worker, and the
// memory with the root key goes with it.
type vaultState struct {
	root    vault.RootKey
	account vault.AccountID
	replica *vault.Replica

	ready    bool                    // the stored history is loaded: the list of chats means something
	settings *settingsDoc            // nil until they were read
	warned   map[string]bool         // notices about the history that were given, and whether one offered to rejoin
	kept     map[vault.RecordID]kept // messages and registers whose sealed data this device keeps
	useless  []uint64                // places of kept data that a newer write has replaced
}

// kept is where the newest sealed data of a record stands.
type kept struct {
	seq     uint64
	version vault.Version
}

// openVault makes the vault of an account ready to be loaded. c.mu is held.
func (c *core) openVault(root vault.RootKey, account vault.AccountID, device vault.DeviceID) {
	c.vault = &vaultState{
		root: root, account: account,
		replica: vault.NewReplica(root, account, device),
		warned:  map[string]bool{},
		kept:    map[vault.RecordID]kept{},
	}
	c.chats.reset()
}

// unlocked returns the open vault, or errLocked.
func (c *core) unlocked() (*vaultState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.vault == nil {
		return nil, errLocked
	}
	return c.vault, nil
}

type loadArgs struct {
	Entries []vault.Entry `json:"entries"` // the next stored entries
	Puts    []vault.Put   `json:"puts"`    // stored records that the server doesn't have yet
}

// load takes a part of what this device has stored. If the store was changed,
// the entries are an error, and the caller fetches the feed anew.
func (c *core) load(_ context.Context, a loadArgs) (none, error) {
	v, err := c.unlocked()
	if err != nil {
		return none{}, err
	}
	if err := v.replica.Load(a.Entries); err != nil {
		return none{}, err
	}
	if err := v.replica.Restore(a.Puts); err != nil {
		c.history(v, err)
	}
	v.note(a.Entries)
	return none{}, nil
}

// note remembers which records this device keeps the sealed data of. It says
// whether some of what it keeps may be of no use now; see erasing.
func (v *vaultState) note(entries []vault.Entry) (erased bool) {
	for _, e := range entries {
		switch {
		case e.Collection == vault.Tombstones:
			erased = true
		case e.Data == nil:
		case e.Collection == vault.Messages, e.Collection == vault.Registers:
			seq := e.Seq
			if old, ok := v.kept[e.ID]; ok {
				erased = true
				if old.version.Compare(e.Version) > 0 {
					v.useless = append(v.useless, seq)
					continue
				}
				v.useless = append(v.useless, old.seq)
			}
			v.kept[e.ID] = kept{seq, e.Version}
		}
	}
	return erased
}

// opened tells the page about the loaded history.
func (c *core) opened(context.Context) (none, error) {
	v, err := c.unlocked()
	if err != nil {
		return none{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.ready = true
	c.readSettings(v)
	c.emitChats()
	if c.plan.service.Tokens {
		go c.learnPlan()
	}
	return none{}, nil
}

// head says how far the feed is known.
func (c *core) head(context.Context) (vault.Head, error) {
	v, err := c.unlocked()
	if err != nil {
		return vault.Head{}, err
	}
	return v.replica.Head(), nil
}

type applyArgs struct {
	Page json.RawMessage `json:"page"`
}

type applyResult struct {
	Seq    uint64 `json:"seq"`    // how far the feed is known now
	Again  bool   `json:"again"`  // fetch again from there
	Erased bool   `json:"erased"` // ask erasing what to erase from the store
}

// apply takes a page of the feed as the server sent it. A page that contradicts
// what is known is refused whole: the page is told, and nothing is lost.
func (c *core) apply(_ context.Context, a applyArgs) (applyResult, error) {
	v, err := c.unlocked()
	if err != nil {
		return applyResult{}, err
	}
	page, err := vault.ParsePage(a.Page)
	if err == nil {
		err = v.replica.Apply(page)
	}
	if errors.Is(err, vault.ErrOutOfOrder) {
		return applyResult{Seq: v.replica.Head().Seq, Again: true}, nil
	}
	if err != nil {
		c.refused(v, err)
		return applyResult{}, err
	}
	erased := v.note(page.Entries)
	for _, p := range v.replica.Problems() {
		c.history(v, p.Err)
	}
	if len(page.Entries) > 0 {
		c.changed(v)
	}
	seq := v.replica.Head().Seq
	return applyResult{seq, seq < page.Head.Seq, erased}, nil
}

// history tells the page, once for each kind, that something in the server's
// copy of the history doesn't fit.
func (c *core) history(v *vaultState, err error) { c.warn(v, err, false) }

// refused tells the page, once for each kind, that the server's copy was not
// taken. Where the server has gone back or shows another history, nothing comes
// in or goes out any more until the person decides, so the page offers to rejoin.
func (c *core) refused(v *vaultState, err error) {
	c.warn(v, err, errors.Is(err, vault.ErrRollback) || errors.Is(err, vault.ErrFork))
}

func (c *core) warn(v *vaultState, err error, rejoin bool) {
	code := historyCode(err)
	if code == "" {
		return
	}
	text := historyText(code)
	if rejoin {
		text = refusedText(code)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// That the whole copy was refused is said even where one record was complained of before.
	if offered, said := v.warned[code]; said && (offered || !rejoin) {
		return
	}
	v.warned[code] = rejoin
	n := map[string]any{"t": "notice", "kind": "history", "code": code, "text": text}
	if rejoin {
		n["rejoin"] = true
	}
	c.host.emit(n)
}

// changed tells the page what it shows after records have come in.
func (c *core) changed(v *vaultState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !v.ready {
		return
	}
	c.readSettings(v)
	c.emitChats()
	for id := range c.chats.open {
		c.emitChat(id)
	}
}

type ackedArgs struct {
	Puts []vault.Put `json:"puts"`
	Seqs []uint64    `json:"seqs"`
	Head vault.Head  `json:"head"`
}

type ackedResult struct {
	Entries []vault.Entry `json:"entries"` // to store; empty when a page must be fetched
	Erased  bool          `json:"erased"`  // ask erasing what to erase from the store
}

// acked takes the server's answer to posted records.
func (c *core) acked(_ context.Context, a ackedArgs) (ackedResult, error) {
	v, err := c.unlocked()
	if err != nil {
		return ackedResult{}, err
	}
	entries, err := v.replica.Acked(a.Puts, a.Seqs, a.Head)
	if err != nil {
		c.refused(v, err)
		return ackedResult{}, err
	}
	erased := v.note(entries)
	if entries == nil {
		entries = []vault.Entry{}
	}
	return ackedResult{entries, erased}, nil
}

type rejoinArgs struct {
	Puts []vault.Put `json:"puts"` // what the store holds for the server, other tabs' too
}

// rejoin begins to take the server's feed as it is now, after the person agreed:
// the caller applies it from its first entry and then stores what pending says.
func (c *core) rejoin(_ context.Context, a rejoinArgs) (none, error) {
	v, err := c.unlocked()
	if err != nil {
		return none{}, err
	}
	if err := v.replica.Restore(a.Puts); err != nil {
		c.history(v, err)
	}
	if err := v.replica.Rejoin(); err != nil {
		return none{}, err
	}
	v.kept, v.useless = map[vault.RecordID]kept{}, nil
	c.mu.Lock()
	defer c.mu.Unlock()
	v.warned = map[string]bool{}
	return none{}, nil
}

type pendingResult struct {
	Puts []vault.Put `json:"puts"`
}

// pending returns all that the server doesn't have yet.
func (c *core) pending(context.Context) (pendingResult, error) {
	v, err := c.unlocked()
	if err != nil {
		return pendingResult{}, err
	}
	puts := v.replica.Pending()
	if puts == nil {
		puts = []vault.Put{}
	}
	return pendingResult{puts}, nil
}

type erasingResult struct {
	Seqs []uint64 `json:"seqs"`
}

// erasing returns the places of stored records that were deleted or replaced,
// here or on another device: the caller erases their sealed data from this
// device too.
func (c *core) erasing(context.Context) (erasingResult, error) {
	v, err := c.unlocked()
	if err != nil {
		return erasingResult{}, err
	}
	live := map[vault.RecordID]bool{}
	for _, chat := range v.replica.Chats() {
		for _, m := range v.replica.Messages(chat.ID) {
			if id, err := vault.ParseRecordID(m.ID); err == nil {
				live[id] = true
			}
		}
	}
	seqs := append([]uint64{}, v.useless...)
	v.useless = nil
	for id, k := range v.kept {
		if k.version == (vault.Version{}) && !live[id] {
			seqs = append(seqs, k.seq)
			delete(v.kept, id)
		}
	}
	sort.Slice(seqs, func(i, j int) bool { return seqs[i] < seqs[j] })
	return erasingResult{seqs}, nil
}

type reachArgs struct {
	Offline bool `json:"offline"`
}

// reach notes whether the account server can be reached: what it doesn't have
// yet is marked as long as it can't.
func (c *core) reach(_ context.Context, a reachArgs) (none, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offline != a.Offline {
		c.offline = a.Offline
		for id := range c.chats.open {
			c.emitChat(id)
		}
	}
	return none{}, nil
}

// keep queues puts that the replica has just made. An error of making them, or
// of keeping them, is the caller's.
func (c *core) keep(puts []vault.Put, err error) error {
	if len(puts) > 0 {
		if keepErr := c.host.queue(puts); err == nil {
			err = keepErr
		}
	}
	return err
}

// settingsDoc is Settings of web/src/core/protocol.ts without the theme, which
// is this browser's own.
type settingsDoc struct {
	Model        string `json:"model"`
	Instructions string `json:"instructions"`
	EnterSends   bool   `json:"enterSends"`
}

const (
	registerSettings = "settings"
	maxInstructions  = 8000
)

// readSettings takes the settings from the vault and tells the page if they
// have changed. c.mu is held.
func (c *core) readSettings(v *vaultState) {
	s := settingsDoc{EnterSends: true}
	if doc, ok := v.replica.Register("", registerSettings); ok {
		if json.Unmarshal(doc, &s) != nil {
			s = settingsDoc{EnterSends: true} // another version's: ours take its place when they are set
		}
	}
	if v.settings == nil || *v.settings != s {
		v.settings = &s
		c.host.emit(map[string]any{"t": "settings", "settings": s})
	}
}

type setSettingsArgs struct {
	Model        *string `json:"model"`
	Instructions *string `json:"instructions"`
	EnterSends   *bool   `json:"enterSends"`
}

// setSettings changes the settings that are given.
func (c *core) setSettings(_ context.Context, a setSettingsArgs) (none, error) {
	v, err := c.unlocked()
	if err != nil {
		return none{}, err
	}
	c.mu.Lock()
	c.readSettings(v)
	s := *v.settings
	c.mu.Unlock()
	if a.Model != nil {
		s.Model = *a.Model
	}
	if a.Instructions != nil {
		if len(*a.Instructions) > maxInstructions {
			return none{}, &coreError{"too_large", "Instructions can have at most 8,000 characters. Shorten them."}
		}
		s.Instructions = *a.Instructions
	}
	if a.EnterSends != nil {
		s.EnterSends = *a.EnterSends
	}
	put, err := v.replica.SetRegister("", registerSettings, s)
	if err != nil {
		return none{}, err
	}
	if err := c.keep([]vault.Put{put}, nil); err != nil {
		return none{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readSettings(v)
	return none{}, nil
}
