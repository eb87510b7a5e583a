// Copyright (c) Sotto authors
// SPDX-License-Identifier: Apache-2.0

package store

// migrations make the tables. Each is applied once, in order; the number applied
// is the database's version. A released one never changes.
var migrations = []string{
	`
-- An account: nobody's name, only where its feed ends and what it takes up.
CREATE TABLE accounts (
	id      BYTEA PRIMARY KEY,           -- 16 random bytes
	created BIGINT NOT NULL,             -- day
	seq     BIGINT NOT NULL,             -- number of feed entries
	head    BYTEA NOT NULL,              -- hash of the feed's newest entry
	bytes   BIGINT NOT NULL              -- stored, and counted against the quota
);

-- A passkey that may sign in (WebAuthn). No AAGUID and no attestation: nothing
-- here depends on which maker's passkey it is.
CREATE TABLE passkeys (
	id         BYTEA PRIMARY KEY,        -- credential id
	account    BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	public_key BYTEA NOT NULL,           -- COSE key
	sign_count BIGINT NOT NULL,
	flags      BIGINT NOT NULL,          -- authenticator data flags
	transports TEXT NOT NULL,            -- "internal,hybrid"
	label      BYTEA,                    -- sealed
	created    BIGINT NOT NULL,          -- day
	used       BIGINT NOT NULL           -- day
);
CREATE INDEX passkeys_account ON passkeys (account);

-- A sealed copy of the account's root key.
CREATE TABLE wraps (
	account BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	id      BYTEA NOT NULL,
	kind    TEXT NOT NULL,               -- "passkey", "recovery", "passphrase", "device"
	ref     TEXT NOT NULL,               -- which passkey, recovery key or device opens it
	params  BYTEA,                       -- how, as the device wrote it
	data    BYTEA NOT NULL,              -- sealed
	PRIMARY KEY (account, id)
);
CREATE UNIQUE INDEX wraps_recovery ON wraps (ref) WHERE kind = 'recovery';

-- A signed-in browser or terminal.
CREATE TABLE sessions (
	hash    BYTEA PRIMARY KEY,           -- SHA-256 of the token
	id      BYTEA NOT NULL UNIQUE,       -- what the person's list calls it
	account BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	kind    TEXT NOT NULL,               -- "browser", "terminal"
	label   BYTEA,                       -- sealed
	wrap    BYTEA,                       -- a terminal's wrap, which goes with it
	created BIGINT NOT NULL,             -- day
	seen    BIGINT NOT NULL              -- day
);
CREATE INDEX sessions_account ON sessions (account);

-- The feed: every record's place in the hash chain, and its ciphertext until it
-- is erased. There is no time in it but the minutes within a register's version.
CREATE TABLE feed (
	account    BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	seq        BIGINT NOT NULL,
	collection BIGINT NOT NULL,
	id         BYTEA NOT NULL,
	version    BYTEA NOT NULL,
	size       BIGINT NOT NULL,
	digest     BYTEA NOT NULL,           -- SHA-256 of data
	hash       BYTEA NOT NULL,           -- of the chain up to here
	data       BYTEA,                    -- sealed; NULL when erased
	PRIMARY KEY (account, seq)
);
CREATE UNIQUE INDEX feed_place ON feed (account, id, collection, version);

-- A sign-up or sign-in that has begun: kept for minutes, used once.
CREATE TABLE ceremonies (
	hash    BYTEA PRIMARY KEY,           -- SHA-256 of the challenge
	kind    TEXT NOT NULL,
	account BYTEA,                       -- whose it is, where that is known
	data    BYTEA NOT NULL,              -- what must come back unchanged
	expires BIGINT NOT NULL              -- unix seconds
);
CREATE INDEX ceremonies_expires ON ceremonies (expires);

-- A terminal that wants to be linked: kept for minutes, used once.
CREATE TABLE links (
	id      BYTEA PRIMARY KEY,
	poll    BYTEA NOT NULL,              -- SHA-256 of the terminal's secret
	offer   BYTEA NOT NULL,              -- public key and sealed name
	expires BIGINT NOT NULL,             -- unix seconds
	account BYTEA REFERENCES accounts (id) ON DELETE CASCADE, -- once approved
	wrap    BYTEA,                       -- sealed root key for the terminal
	label   BYTEA                        -- sealed
);
CREATE INDEX links_expires ON links (expires);
`,
}
