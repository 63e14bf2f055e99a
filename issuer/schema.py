"""The issuer's tables, twice: as numbered migrations (frozen text) and as SQLAlchemy Core names for queries.

What is *not* here is the point: no claim, no identity number, no public key, no signature, no address. Codes,
tokens, nonces and keys are kept as hashes; a status index stands beside an enrolment because revoking needs
it. Times that last longer than a session are whole hours or whole days.

The text runs on SQLite and PostgreSQL alike (``BYTEA`` is PostgreSQL's name for what SQLite stores as BLOB
whatever the column is called). On SQLite every table goes without a row id: a number that counts up with
every insertion would put the rows of different tables into one order, and so join a hash to a copy.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

from credentials.calendar import DAY

_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE enrolments (
            id TEXT PRIMARY KEY,
            rec BYTEA NOT NULL,
            reference TEXT NOT NULL,
            state TEXT NOT NULL,
            consent INTEGER NOT NULL,
            sign_in BYTEA NOT NULL UNIQUE,
            passcode BYTEA NOT NULL,
            failures INTEGER NOT NULL,
            hour BIGINT NOT NULL
        )""",
        # One living enrolment per person; a revoked one stays so that its statuses stay revoked.
        "CREATE UNIQUE INDEX enrolments_active ON enrolments (rec) WHERE state = 'active'",
        """CREATE TABLE offers (
            id TEXT PRIMARY KEY,
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            configurations TEXT NOT NULL,
            grant_type TEXT NOT NULL,
            code BYTEA NOT NULL UNIQUE,
            tx_code BYTEA,
            failures INTEGER NOT NULL,
            state TEXT NOT NULL,
            expires BIGINT NOT NULL
        )""",
        "CREATE INDEX offers_expires ON offers (expires)",
        """CREATE TABLE codes (
            code BYTEA PRIMARY KEY,
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            configurations TEXT NOT NULL,
            client_id TEXT NOT NULL,
            redirect_uri TEXT NOT NULL,
            challenge TEXT NOT NULL,
            family TEXT NOT NULL,
            state TEXT NOT NULL,
            expires BIGINT NOT NULL
        )""",
        "CREATE INDEX codes_expires ON codes (expires)",
        """CREATE TABLE tokens (
            token BYTEA PRIMARY KEY,
            kind TEXT NOT NULL,
            family TEXT NOT NULL,
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            configurations TEXT NOT NULL,
            thumbprint BYTEA NOT NULL,
            expires BIGINT NOT NULL
        )""",
        "CREATE INDEX tokens_expires ON tokens (expires)",
        "CREATE INDEX tokens_enrolment ON tokens (enrolment)",
        "CREATE TABLE burned_nonces (nonce BYTEA PRIMARY KEY, expires BIGINT NOT NULL)",
        "CREATE TABLE dpop_proofs (jti BYTEA PRIMARY KEY, expires BIGINT NOT NULL)",
        "CREATE TABLE used_keys (key_hash BYTEA PRIMARY KEY, expires BIGINT NOT NULL)",
        """CREATE TABLE copies (
            type TEXT NOT NULL,
            window_start BIGINT NOT NULL,
            idx INTEGER NOT NULL,
            window_end BIGINT NOT NULL,
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            status INTEGER NOT NULL,
            PRIMARY KEY (type, window_start, idx)
        )""",
        "CREATE INDEX copies_enrolment ON copies (enrolment)",
        """CREATE TABLE issued (
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            type TEXT NOT NULL,
            format TEXT NOT NULL,
            window_start BIGINT NOT NULL,
            copies INTEGER NOT NULL,
            PRIMARY KEY (enrolment, type, format, window_start)
        )""",
        """CREATE TABLE responses (
            request BYTEA PRIMARY KEY,
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            sealed BYTEA NOT NULL,
            expires BIGINT NOT NULL
        )""",
        """CREATE TABLE notifications (
            notification BYTEA PRIMARY KEY,
            family TEXT NOT NULL,
            type TEXT NOT NULL,
            event TEXT,
            expires BIGINT NOT NULL
        )""",
        """CREATE TABLE refusals (
            hour BIGINT NOT NULL,
            code TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            PRIMARY KEY (hour, code)
        )""",
    ),
    (
        # Revoked on purpose: nothing of this type goes to this enrolment until it is lifted.
        """CREATE TABLE withheld (
            enrolment TEXT NOT NULL REFERENCES enrolments (id),
            type TEXT NOT NULL,
            PRIMARY KEY (enrolment, type)
        )""",
        # The decoys of one status list: ``indices`` in the order of flipping, of which ``flipped`` are; how
        # many true copies were ``marked`` at the last publication, and the day of the last flip.
        """CREATE TABLE reserves (
            type TEXT NOT NULL,
            window_start BIGINT NOT NULL,
            window_end BIGINT NOT NULL,
            indices BYTEA NOT NULL,
            flipped INTEGER NOT NULL,
            marked INTEGER NOT NULL,
            day BIGINT NOT NULL,
            PRIMARY KEY (type, window_start)
        )""",
        "ALTER TABLE enrolments ADD COLUMN guardian BYTEA",
        "ALTER TABLE enrolments ADD COLUMN consented BIGINT",
        "ALTER TABLE codes ADD COLUMN offer TEXT",
        "ALTER TABLE responses ADD COLUMN type TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE issued ADD COLUMN window_end BIGINT NOT NULL DEFAULT 0",
        # 30 days is the longest validity there was.
        "UPDATE issued SET window_end = window_start + 2592000",
    ),
)


def migrations(url: str) -> tuple[tuple[str, ...], ...]:
    """The migrations for the database at ``url``, oldest first."""
    if not url.startswith("sqlite"):
        return _MIGRATIONS
    return tuple(
        tuple(
            f"{statement} WITHOUT ROWID" if statement.startswith("CREATE TABLE") else statement
            for statement in migration
        )
        for migration in _MIGRATIONS
    )


metadata: Final = MetaData()

enrolments = Table(
    "enrolments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rec", LargeBinary),
    Column("reference", Text),
    Column("state", Text),
    Column("consent", Integer),
    Column("sign_in", LargeBinary),
    Column("passcode", LargeBinary),
    Column("failures", Integer),
    Column("hour", BigInteger),
    Column("guardian", LargeBinary),
    Column("consented", BigInteger),
)
offers = Table(
    "offers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("enrolment", Text),
    Column("configurations", Text),
    Column("grant_type", Text),
    Column("code", LargeBinary),
    Column("tx_code", LargeBinary),
    Column("failures", Integer),
    Column("state", Text),
    Column("expires", BigInteger),
)
withheld = Table(
    "withheld",
    metadata,
    Column("enrolment", Text, primary_key=True),
    Column("type", Text, primary_key=True),
)
codes = Table(
    "codes",
    metadata,
    Column("code", LargeBinary, primary_key=True),
    Column("enrolment", Text),
    Column("configurations", Text),
    Column("client_id", Text),
    Column("redirect_uri", Text),
    Column("challenge", Text),
    Column("family", Text),
    Column("state", Text),
    Column("expires", BigInteger),
    Column("offer", Text),
)
tokens = Table(
    "tokens",
    metadata,
    Column("token", LargeBinary, primary_key=True),
    Column("kind", Text),
    Column("family", Text),
    Column("enrolment", Text),
    Column("configurations", Text),
    Column("thumbprint", LargeBinary),
    Column("expires", BigInteger),
)
burned_nonces = Table(
    "burned_nonces",
    metadata,
    Column("nonce", LargeBinary, primary_key=True),
    Column("expires", BigInteger),
)
dpop_proofs = Table(
    "dpop_proofs",
    metadata,
    Column("jti", LargeBinary, primary_key=True),
    Column("expires", BigInteger),
)
used_keys = Table(
    "used_keys",
    metadata,
    Column("key_hash", LargeBinary, primary_key=True),
    Column("expires", BigInteger),
)
copies = Table(
    "copies",
    metadata,
    Column("type", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("idx", Integer, primary_key=True),
    Column("window_end", BigInteger),
    Column("enrolment", Text),
    Column("status", Integer),
)
issued = Table(
    "issued",
    metadata,
    Column("enrolment", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("format", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("copies", Integer),
    Column("window_end", BigInteger),
)
responses = Table(
    "responses",
    metadata,
    Column("request", LargeBinary, primary_key=True),
    Column("enrolment", Text),
    Column("sealed", LargeBinary),
    Column("expires", BigInteger),
    Column("type", Text),
)
reserves = Table(
    "reserves",
    metadata,
    Column("type", Text, primary_key=True),
    Column("window_start", BigInteger, primary_key=True),
    Column("window_end", BigInteger),
    Column("indices", LargeBinary),
    Column("flipped", Integer),
    Column("marked", Integer),
    Column("day", BigInteger),
)
notifications = Table(
    "notifications",
    metadata,
    Column("notification", LargeBinary, primary_key=True),
    Column("family", Text),
    Column("type", Text),
    Column("event", Text),
    Column("expires", BigInteger),
)
refusals = Table(
    "refusals",
    metadata,
    Column("hour", BigInteger, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("attempts", Integer),
)

EXPIRING: Final = (offers, codes, tokens, burned_nonces, dpop_proofs, used_keys, responses, notifications)
WINDOWED: Final = (copies, issued, reserves)
"""Tables whose rows are of no use once the window of their copies is over."""

GRACE: Final = DAY
"""What belonged to a validity window is kept, and its list published, so long after its end."""
