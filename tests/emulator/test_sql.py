"""SQL like the service's: statements with their columns and rows, and statements that are refused.

The expected rows were worked out from the definition of the seed, which numbers its rows.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from peaka_async.emulator import seed
from peaka_async.emulator._operation import Refusal
from peaka_async.emulator._sql.engine import Engine
from peaka_async.emulator._state import SavedQuery

NOW = datetime(2026, 11, 24, tzinfo=UTC)

# Each with its columns, names and types, and its rows.
STATEMENTS = json.loads((Path(__file__).parents[1] / "fixtures" / "emulator-sql.json").read_text(encoding="utf-8"))

REFUSED = [
    ("INSERT INTO peaka.table.x VALUES (1)", "Statement type 'INSERT' is not allowed"),
    ("UPDATE peaka.table.x SET a = 1", "Statement type 'UPDATE' is not allowed"),
    ("DELETE FROM peaka.table.x", "Statement type 'DELETE' is not allowed"),
    ("/* SELECT */ CREATE TABLE peaka.table.x AS SELECT 1", "Statement type 'CREATE' is not allowed"),
    ("DROP TABLE peaka.table.x", "Statement type 'DROP' is not allowed"),
    ("ALTER TABLE peaka.table.x RENAME TO y", "Statement type 'ALTER' is not allowed"),
    ("TRUNCATE TABLE peaka.table.x", "Statement type 'TRUNCATE' is not allowed"),
    ("MERGE INTO a USING b ON TRUE WHEN MATCHED THEN DELETE", "Statement type 'MERGE' is not allowed"),
    ("CALL system.x()", "Statement type 'CALL' is not allowed"),
    ("SET SESSION a = 1", "Statement type 'SET' is not allowed"),
    ("WITH x AS (DELETE FROM peaka.table.x RETURNING *) SELECT * FROM x", "Statement type 'DELETE' is not allowed"),
    ("SELECT * INTO peaka.table.y FROM stripe.payment.customers", "Statement type 'INTO' is not allowed"),
    ("SELECT 1; SELECT 2", "exactly one statement"),
    ("", "exactly one statement"),
    ("SELECT FROM", "mismatched input"),
    ("SELECT 'open", "mismatched input"),
    ("SELECT id FROM stripe.payment.customers LIMIT 3 OFFSET 2", "mismatched input 'OFFSET'"),
    ("SELECT * FROM nope.payment.customers", "Catalog 'nope' does not exist"),
    ("SELECT * FROM stripe.nope.customers", "Schema 'nope' does not exist"),
    ("SELECT * FROM stripe.payment.nope", "Table 'stripe.payment.nope' does not exist"),
    ("SELECT * FROM peaka.query.nope", "Table 'peaka.query.nope' does not exist"),
    ("SELECT nope FROM stripe.payment.customers", "Column 'nope' cannot be resolved"),
    ("SELECT c.nope FROM stripe.payment.customers c", "Column 'nope' cannot be resolved"),
    ("SELECT nope(id) FROM stripe.payment.customers", "Function 'nope' not registered"),
    ("SELECT * FROM customers", "Catalog and schema must be specified"),
    ("SELECT * FROM read_csv('/etc/passwd')", "not registered"),
    ("SELECT * FROM read_text('/etc/passwd')", "not registered"),
    ("SELECT getenv('HOME')", ""),
    ("SELECT CAST('x' AS BIGINT)", "Could not convert"),
    ("SELECT name FROM mongo.e_commerce.products WHERE _id = '64b7f01c0000000000000002'", "Cannot apply operator"),
    ("SELECT name FROM mongo.e_commerce.products WHERE '64b7f01c' <> _id", "Cannot apply operator"),
    ("SELECT name FROM mongo.e_commerce.products WHERE _id IN ('64b7f01c')", "Cannot apply operator"),
    ("SELECT id FROM stripe.payment.customers WHERE id = ?", "expected 1 but found 0"),
]


@pytest.fixture(scope="module")
def engine():
    return Engine(lambda: NOW)


@pytest.fixture(scope="module")
def project():
    return seed().projects["mtKDhe1U"]


@pytest.mark.parametrize(("sql", "columns", "rows"), STATEMENTS, ids=[sql for sql, _, _ in STATEMENTS])
def test_a_statement_gives_its_rows(engine, project, sql, columns, rows):
    """The columns have names and Trino types, and each cell is text or None."""
    result = engine.run(project, sql)

    assert "; ".join(f"{column.name} {column.type}" for column in result.columns) == columns
    assert result.rows == rows


@pytest.mark.parametrize(("sql", "says"), REFUSED, ids=[sql or "nothing" for sql, _ in REFUSED])
def test_what_is_refused_is_a_400_that_says_why(engine, project, sql, says):
    """Writes, other dialects and unknown names are refused, and the message names the problem."""
    with pytest.raises(Refusal) as caught:
        engine.run(project, sql)

    assert caught.value.status == 400
    assert caught.value.body["errorCode"] == 100
    assert says in caught.value.body["message"]


def test_where_columns_come_from(engine, project):
    """Plain columns have a source table, computed ones do not; a star is expanded."""
    result = engine.run(
        project,
        "SELECT c.*, f.name AS firm, 1 FROM hubspot.crm.contacts c JOIN hubspot.crm.companies f ON f.id = c.company_id",
    )

    assert [(column.name, column.table) for column in result.columns] == [
        ("id", "contacts"),
        ("email", "contacts"),
        ("company_id", "contacts"),
        ("firm", "companies"),
        ("_col2", None),
    ]


def test_a_saved_query_is_a_table(engine, project):
    """A saved query is bound when it runs. It may name other saved queries, but not itself."""
    saved = {
        "base": "SELECT id, amount FROM stripe.payment.charges WHERE refunded",
        "twice": "SELECT id, amount * 2 AS twice FROM peaka.query.base",
        "self": "SELECT * FROM peaka.query.self",
    }
    for name, sql in saved.items():
        project.queries[name] = SavedQuery(id=name, display_name=name, name=name, sql=sql)

    rows = engine.run(project, "SELECT * FROM peaka.query.twice ORDER BY id LIMIT 1").rows
    with pytest.raises(Refusal, match="400"):
        engine.run(project, "SELECT * FROM peaka.query.self")

    assert rows == [["ch_00000000000001", "1000"]]


def test_bindings_fill_the_parameters_in_their_order(engine, project):
    """A binding is text; in a comparison with a number it is a number."""
    sql = "SELECT id FROM postgres.public.orders WHERE id > ? AND customer_email = ? ORDER BY id LIMIT 1"

    assert engine.run(project, sql, ["10", "customer7@example.com"]).rows == [["512"]]


def test_a_value_never_ends_a_literal(engine, project):
    """A quote in a binding stays a quote."""
    assert engine.run(project, "SELECT ? AS said", ["it's \"; DROP TABLE x"]).rows == [["it's \"; DROP TABLE x"]]
