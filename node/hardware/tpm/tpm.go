// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpm has the machine's TPM 2.0 vouch for a node: it signs the values of
// its registers together with a nonce made of the report data, and the log of
// what was measured into them goes along (spec/evidence-tpm.md).
//
// The signing key is a primary key of the endorsement hierarchy: a TPM makes the
// same one again from its own seed whenever it is asked to, so that nothing has
// to be stored. On a cloud that certifies a key of its own template, it is that
// one. Package tpmenroll gets a certificate for it elsewhere.
package tpm

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"github.com/sotto-chat/sotto/attest/bundle"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/internal/collateral"
)

// Where a Linux machine has its TPM, behind the kernel's resource manager, and
// the log of its firmware.
const (
	Device = "/dev/tpmrm0"
	Log    = "/sys/kernel/security/tpm0/binary_bios_measurements"
)

// Config says which TPM and what to ask of it. The zero Config is a real machine's.
type Config struct {
	Device string             // "" means [Device]
	Conn   io.ReadWriteCloser // a TPM that is open already, in place of Device
	Log    string             // "" means [Log]
	Bank   tpm2.TPMAlgID      // 0 means SHA-256
	PCRs   []uint             // nil means 0 to 9 and 11 to 14: all that firmware and boot loader measure into
}

// TPM is an open TPM with its signing key. Its methods may be called from any
// goroutine.
type TPM struct {
	mu   sync.Mutex
	c    Config
	conn transport.TPMCloser
	key  *tpm2.CreatePrimaryResponse
	cert []byte // of the key, if the TPM keeps it
}

// cloudKeys are where Google's cloud has templates and certificates of signing
// keys, as go-tpm-tools names them; the first that is there is used.
var cloudKeys = [...]struct{ template, cert tpm2.TPMHandle }{{0x01c10003, 0x01c10002}, {0x01c10001, 0x01c10000}}

// template is that of our own signing key: ECDSA on P-256, and only for what the
// TPM says of itself.
var template = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, Restricted: true, SignEncrypt: true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA,
			Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
		CurveID: tpm2.TPMECCNistP256,
	}),
	Unique: tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{}),
}

// Open opens the machine's TPM and makes its signing key. Without a TPM the error
// is [fs.ErrNotExist].
func Open(c Config) (*TPM, error) {
	if c.Device == "" {
		c.Device = Device
	}
	if c.Log == "" {
		c.Log = Log
	}
	if c.Bank == 0 {
		c.Bank = tpm2.TPMAlgSHA256
	}
	if c.PCRs == nil {
		c.PCRs = []uint{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14}
	}
	t := &TPM{c: c}
	if c.Conn != nil {
		t.conn = transport.FromReadWriteCloser(c.Conn)
	} else {
		var err error
		if t.conn, err = linuxtpm.Open(c.Device); err != nil {
			return nil, fmt.Errorf("opening the TPM: %w", err)
		}
	}
	if err := t.makeKey(); err != nil {
		return nil, errors.Join(fmt.Errorf("making the TPM's signing key: %w", err), t.conn.Close())
	}
	return t, nil
}

func (t *TPM) makeKey() error {
	public := tpm2.New2B(template)
	for _, k := range cloudKeys {
		b, err := t.ReadNV(k.template)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		public = tpm2.BytesAs2B[tpm2.TPMTPublic](b)
		if t.cert, err = t.ReadNV(k.cert); err != nil {
			return err
		}
		break
	}
	var err error
	t.key, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: public}.Execute(t.conn)
	return err
}

// ReadNV returns what stands at an index of the TPM's memory, nil if nothing does.
func (t *TPM) ReadNV(index tpm2.TPMHandle) ([]byte, error) {
	public, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t.conn)
	if errors.Is(err, tpm2.TPMRCHandle) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	area, err := public.NVPublic.Contents()
	if err != nil {
		return nil, err
	}
	var out []byte
	for len(out) < int(area.DataSize) {
		rsp, err := tpm2.NVRead{
			AuthHandle: tpm2.TPMRHOwner, NVIndex: tpm2.NamedHandle{Handle: index, Name: public.NVName},
			Size: min(512, area.DataSize-uint16(len(out))), Offset: uint16(len(out)),
		}.Execute(t.conn)
		if err != nil {
			return nil, fmt.Errorf("reading index 0x%x: %w", index, err)
		}
		if len(rsp.Data.Buffer) == 0 {
			return nil, fmt.Errorf("reading index 0x%x: it gave nothing", index)
		}
		out = append(out, rsp.Data.Buffer...)
	}
	return out, nil
}

// Key returns the signing key as a handle with its name, and its public area.
func (t *TPM) Key() (tpm2.NamedHandle, []byte) {
	return tpm2.NamedHandle{Handle: t.key.ObjectHandle, Name: t.key.Name}, t.key.OutPublic.Bytes()
}

// Conn gives the way to the TPM to package tpmenroll.
func (t *TPM) Conn() transport.TPM { return t.conn }

// Close gives the key up and closes the TPM.
func (t *TPM) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := tpm2.FlushContext{FlushHandle: t.key.ObjectHandle}.Execute(t.conn)
	return errors.Join(err, t.conn.Close())
}

// attempts is how often a quote is asked for while something extends registers.
const attempts = 5

// Evidence has the TPM vouch for report data. files are certificates of the
// signing key and its issuers, and their revocation lists, in PEM or DER.
func (t *TPM) Evidence(reportData [64]byte, files ...[]byte) ([]bundle.Evidence, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	nonce := bundle.Nonce(tpmdata.Name, reportData)
	p := tpmdata.Parts{Public: t.key.OutPublic.Bytes()}
	err := errRaced
	for range attempts {
		if err = t.quote(&p, nonce[:]); !errors.Is(err, errRaced) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("asking the TPM for a quote: %w", err)
	}
	if t.cert != nil {
		files = append([][]byte{t.cert}, files...)
	}
	if err := p.Add(files...); err != nil {
		return nil, fmt.Errorf("certificates of the TPM: %w", err)
	}
	log, err := readLog(t.c.Log)
	if err != nil {
		return nil, fmt.Errorf("event log of the TPM: %w", err)
	}
	p.Log = log
	return []bundle.Evidence{{Platform: tpmdata.Name, Data: p.Append(nil)}}, nil
}

var errRaced = errors.New("the registers were changing all the time")

func (t *TPM) quote(p *tpmdata.Parts, nonce []byte) error {
	key, _ := t.Key()
	rsp, err := tpm2.Quote{
		SignHandle:     tpm2.AuthHandle{Handle: key.Handle, Name: key.Name, Auth: tpm2.PasswordAuth(nil)},
		QualifyingData: tpm2.TPM2BData{Buffer: nonce},
		InScheme:       tpm2.TPMTSigScheme{Scheme: tpm2.TPMAlgNull},
		PCRSelect:      t.selection(t.c.PCRs),
	}.Execute(t.conn)
	if err != nil {
		return err
	}
	p.Quote, p.Signature = rsp.Quoted.Bytes(), tpm2.Marshal(rsp.Signature)
	if p.Values, err = t.values(); err != nil {
		return fmt.Errorf("reading the registers: %w", err)
	}
	// Something may have extended a register between the two.
	signed, err := rsp.Quoted.Contents()
	if err != nil {
		return err
	}
	info, err := signed.Attested.Quote()
	if err != nil {
		return err
	}
	d256, d384 := sha256.Sum256(p.Values), sha512.Sum384(p.Values)
	if d := info.PCRDigest.Buffer; !bytes.Equal(d, d256[:]) && !bytes.Equal(d, d384[:]) {
		return errRaced
	}
	return nil
}

// values reads the registers, of which a TPM gives eight at a time.
func (t *TPM) values() (out []byte, err error) {
	for pcrs := range slices.Chunk(slices.Sorted(slices.Values(t.c.PCRs)), 8) {
		rsp, err := tpm2.PCRRead{PCRSelectionIn: t.selection(pcrs)}.Execute(t.conn)
		if err != nil {
			return nil, err
		}
		if len(rsp.PCRValues.Digests) != len(pcrs) {
			return nil, errors.New("the TPM doesn't have all that were asked for")
		}
		for _, d := range rsp.PCRValues.Digests {
			out = append(out, d.Buffer...)
		}
	}
	return out, nil
}

func (t *TPM) selection(pcrs []uint) tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: t.c.Bank, PCRSelect: tpm2.PCClientCompatible.PCRs(pcrs...)}}}
}

// readLog reads the firmware's log. A machine without one, or with one of the old
// kind that has SHA-1 only, has nothing to show.
func readLog(name string) ([]byte, error) {
	log, err := collateral.ReadFile(name, tpmdata.MaxLog)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !bytes.HasPrefix(log[min(32, len(log)):], []byte("Spec ID Event03\x00")):
		return nil, nil
	}
	return log, nil
}
