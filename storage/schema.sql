-- SPDX-License-Identifier: ISC
-- The account store, version 1. Never edited once released: later versions are further steps in
-- accounts.c. Names and domains are in lower case; times are seconds since 1970.

CREATE TABLE domain (
	id          INTEGER PRIMARY KEY,
	name        TEXT    NOT NULL UNIQUE CHECK (name = lower(name) AND name <> ''),
	is_primary  INTEGER NOT NULL DEFAULT 0 CHECK (is_primary IN (0, 1)),
	catch_all   TEXT    CHECK (catch_all <> ''),
	created_s   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX domain_primary ON domain (is_primary) WHERE is_primary = 1;

CREATE TABLE account (
	id            INTEGER PRIMARY KEY,
	domain_id     INTEGER NOT NULL REFERENCES domain (id),
	local_part    TEXT    NOT NULL CHECK (local_part = lower(local_part) AND local_part <> ''),
	display_name  TEXT    NOT NULL DEFAULT '',
	-- As libsodium writes it, '' if there is no login; Dovecot reads it as {ARGON2ID}.
	password_hash TEXT    NOT NULL DEFAULT '',
	-- disabled: takes no mail, no login; frozen: takes mail, no login
	state         TEXT    NOT NULL DEFAULT 'active'
		CHECK (state IN ('active', 'disabled', 'frozen')),
	created_s     INTEGER NOT NULL,
	UNIQUE (domain_id, local_part)
) STRICT;

CREATE TABLE alias (
	domain_id   INTEGER NOT NULL REFERENCES domain (id),
	local_part  TEXT    NOT NULL CHECK (local_part = lower(local_part) AND local_part <> ''),
	target      TEXT    NOT NULL CHECK (target <> ''),
	created_s   INTEGER NOT NULL,
	PRIMARY KEY (domain_id, local_part, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE dkim_key (
	id            INTEGER PRIMARY KEY,
	domain_id     INTEGER NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
	selector      TEXT    NOT NULL CHECK (selector <> ''),
	algorithm     TEXT    NOT NULL CHECK (algorithm IN ('rsa', 'ed25519')),
	private_pem   TEXT    NOT NULL,
	public_base64 TEXT    NOT NULL,
	is_active     INTEGER NOT NULL CHECK (is_active IN (0, 1)),
	created_s     INTEGER NOT NULL,
	UNIQUE (domain_id, selector)
) STRICT;

CREATE UNIQUE INDEX dkim_key_active ON dkim_key (domain_id) WHERE is_active = 1;

-- An address is an account or an alias, never both.
CREATE TRIGGER account_not_alias BEFORE INSERT ON account
WHEN EXISTS (SELECT 1 FROM alias
	WHERE domain_id = NEW.domain_id AND local_part = NEW.local_part)
BEGIN
	SELECT RAISE(ABORT, 'an alias has this address');
END;

CREATE TRIGGER alias_not_account BEFORE INSERT ON alias
WHEN EXISTS (SELECT 1 FROM account
	WHERE domain_id = NEW.domain_id AND local_part = NEW.local_part)
BEGIN
	SELECT RAISE(ABORT, 'an account has this address');
END;
