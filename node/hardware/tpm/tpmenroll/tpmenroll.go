// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

// Package tpmenroll is the machine's side of attest/tpm/enroll: it shows a
// registrar the TPM's endorsement key and its certificate, and has the TPM open the
// registrar's challenge. A machine does this once in its life.
package tpmenroll

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"github.com/sotto-chat/sotto/attest/tpm/enroll"
	"github.com/sotto-chat/sotto/attest/tpm/tpmdata"
	"github.com/sotto-chat/sotto/node/hardware/tpm"
)

// endorsementKeys are the usual keys, and where a TPM keeps their certificates
// (TCG EK Credential Profile 2.4, section 2.2.1.4).
var endorsementKeys = [...]struct {
	cert     tpm2.TPMHandle
	template tpm2.TPMTPublic
}{
	{0x01c0000a, tpm2.ECCEKTemplate},
	{0x01c00002, tpm2.RSAEKTemplate},
}

// endorsement makes the TPM's endorsement key that has a certificate.
func endorsement(t *tpm.TPM) (key *tpm2.CreatePrimaryResponse, cert []byte, err error) {
	for _, k := range endorsementKeys {
		if cert, err = t.ReadNV(k.cert); err != nil {
			return nil, nil, fmt.Errorf("certificate of the TPM's endorsement key: %w", err)
		}
		if cert == nil {
			continue
		}
		key, err = tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(k.template)}.Execute(t.Conn())
		if err != nil {
			return nil, nil, fmt.Errorf("making the TPM's endorsement key: %w", err)
		}
		return key, cert, nil
	}
	return nil, nil, errors.New("the TPM holds no certificate of an endorsement key")
}

func flush(t *tpm.TPM, h tpm2.TPMHandle, err *error) {
	_, e := tpm2.FlushContext{FlushHandle: h}.Execute(t.Conn())
	*err = errors.Join(*err, e)
}

// Request makes the message for the registrar. issuers are the certificates above
// that of the endorsement key, which the TPM keeps itself, in PEM or DER.
func Request(t *tpm.TPM, issuers ...[]byte) (request []byte, err error) {
	ek, cert, err := endorsement(t)
	if err != nil {
		return nil, err
	}
	defer flush(t, ek.ObjectHandle, &err)
	p := tpmdata.Parts{Certificates: [][]byte{trim(cert)}}
	if err := p.Add(issuers...); err != nil {
		return nil, err
	}
	_, ak := t.Key()
	return enroll.Request(ek.OutPublic.Bytes(), ak, p.Certificates), nil
}

// trim cuts off what some makers leave behind a certificate in the TPM's memory.
func trim(cert []byte) []byte {
	if len(cert) > 4 && cert[0] == 0x30 && cert[1] == 0x82 {
		if n := 4 + int(cert[2])<<8 + int(cert[3]); n < len(cert) {
			return cert[:n]
		}
	}
	return cert
}

// Answer has the TPM open the registrar's challenge, which it does only if the
// challenge is for its endorsement key and for the signing key that it has loaded.
func Answer(t *tpm.TPM, challenge []byte) (answer []byte, err error) {
	id, secret, err := enroll.ParseChallenge(challenge)
	if err != nil {
		return nil, err
	}
	ek, _, err := endorsement(t)
	if err != nil {
		return nil, err
	}
	defer flush(t, ek.ObjectHandle, &err)
	// The usual endorsement key wants the endorsement hierarchy's consent.
	session, closeSession, err := tpm2.PolicySession(t.Conn(), tpm2.TPMAlgSHA256, 16)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeSession()) }()
	if _, err := (tpm2.PolicySecret{
		AuthHandle:    tpm2.AuthHandle{Handle: tpm2.TPMRHEndorsement, Auth: tpm2.PasswordAuth(nil)},
		PolicySession: session.Handle(), NonceTPM: session.NonceTPM(),
	}).Execute(t.Conn()); err != nil {
		return nil, fmt.Errorf("asking the TPM for consent: %w", err)
	}
	ak, _ := t.Key()
	rsp, err := tpm2.ActivateCredential{
		ActivateHandle: tpm2.AuthHandle{Handle: ak.Handle, Name: ak.Name, Auth: tpm2.PasswordAuth(nil)},
		KeyHandle:      tpm2.AuthHandle{Handle: ek.ObjectHandle, Name: ek.Name, Auth: session},
		CredentialBlob: tpm2.TPM2BIDObject{Buffer: id},
		Secret:         tpm2.TPM2BEncryptedSecret{Buffer: secret},
	}.Execute(t.Conn())
	if err != nil {
		return nil, fmt.Errorf("the TPM doesn't open the challenge: %w", err)
	}
	return enroll.Answer(challenge, rsp.CertInfo.Buffer), nil
}
