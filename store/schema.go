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
	`
-- What was paid for an account, by the way it was paid. Who has no row, or only
-- days that are over, has the free plan. That a day is enough is why there is no
-- time in it.
CREATE TABLE plans (
	account BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	source  TEXT NOT NULL,               -- "card"; "granted", by the operator or a voucher
	until   BIGINT NOT NULL,             -- the last day that is paid
	PRIMARY KEY (account, source)
);

-- How many tokens were signed for an account, for each day whose tokens are still
-- signed. Not when, and nothing of what became of them: nobody here knows that.
CREATE TABLE issued (
	account BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	day     BIGINT NOT NULL,
	n       BIGINT NOT NULL,
	PRIMARY KEY (account, day)
);
CREATE INDEX issued_day ON issued (day);

-- The batches in that number, so that one whose answer got lost counts once. It
-- is a hash of blinded tokens, from which nothing can be learnt of the tokens.
CREATE TABLE batches (
	account BYTEA NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
	day     BIGINT NOT NULL,
	hash    BYTEA NOT NULL,              -- SHA-256
	PRIMARY KEY (account, day, hash)
);
CREATE INDEX batches_day ON batches (day);

-- The private keys that tokens of a day are signed with. They can't tell whose a
-- token is. A day's is erased with the day.
CREATE TABLE issuer_keys (
	day BIGINT PRIMARY KEY,
	key BYTEA NOT NULL                   -- PKCS #8
);

-- Codes that pay for days without saying who pays. There is no account here and
-- no time of use: once a code is used, nothing says by whom.
CREATE TABLE vouchers (
	hash    BYTEA PRIMARY KEY,           -- SHA-256 of the code
	days    BIGINT NOT NULL,             -- that it pays for
	expires BIGINT NOT NULL,             -- the last day on which it is taken
	used    BIGINT NOT NULL              -- 0 or 1
);

-- Who pays by card is known to Stripe by a name of Stripe's own making. This table
-- is the only place where that name meets the account's, and no other table has it.
CREATE TABLE customers (
	account  BYTEA PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
	ref      BYTEA NOT NULL UNIQUE,      -- 16 random bytes: what Stripe is told instead of the account
	customer TEXT UNIQUE,                -- Stripe's name, once there is one
	checkout TEXT,                       -- the one checkout page that is open
	state    TEXT NOT NULL               -- "", "active", "ending", "failed"
);

-- Customers of accounts that are gone, until Stripe has forgotten them too.
CREATE TABLE farewells (
	customer TEXT PRIMARY KEY,
	checkout TEXT
);

-- What Stripe has told already, for as long as it might tell it again.
CREATE TABLE events (
	hash BYTEA PRIMARY KEY,              -- SHA-256 of Stripe's id of the event
	day  BIGINT NOT NULL
);
CREATE INDEX events_day ON events (day);
`,
}
