"""The warning about results that may be cut off at 100 rows."""

from __future__ import annotations

import warnings

import pytest

from peaka_async import CappedReadWarning, ConfigurationError
from peaka_async.endpoints._capped import tables_of, warn_if_capped
from peaka_async.models import (
    QueryExecuteRequest,
    QueryExecuteRequestId,
    QueryExecuteRequestName,
    QueryExecuteRequestStatement,
    QueryResult,
    TableForQuery,
)

HUNDRED = QueryResult(data=[["x"]] * 100)
CHARGES = TableForQuery(catalog_name="stripe", schema_name="payment", table_name="charges")


def names(sql):
    found = tables_of(QueryExecuteRequestStatement(sql))
    return [f"{each.catalog_name}.{each.schema_name}.{each.table_name}" for each in found]


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('SELECT * FROM "stripe"."payment"."charges"', ["stripe.payment.charges"]),
        ("select * from Stripe.Payment.Charges c", ["stripe.payment.charges"]),
        ("SELECT * FROM a.b.c JOIN d.e.f ON TRUE LEFT JOIN g.h.i ON TRUE", ["a.b.c", "d.e.f", "g.h.i"]),
        ("SELECT x.y, s.t.u FROM a.b.c, d.e.f WHERE x IN (1, 2)", ["a.b.c", "d.e.f"]),
        ("SELECT * FROM (SELECT * FROM a.b.c) WHERE z IN (SELECT q FROM d.e.f)", ["a.b.c", "d.e.f"]),
        ("SELECT 'FROM a.b.c' -- FROM d.e.f\n/* FROM g.h.i */ FROM j.k.l", ["j.k.l"]),
        ('SELECT * FROM "A"."b ""c"""."d.e"', ['A.b "c".d.e']),
        ("SELECT * FROM charges", []),
        ("SELECT 1", []),
        ("", []),
    ],
)
def test_tables_that_sql_names_in_full(sql, tables):
    """After FROM and JOIN, in quotes or not; not in texts and comments."""
    assert names(sql) == tables


@pytest.mark.parametrize(
    "query",
    [
        QueryExecuteRequestStatement("SELECT * FROM stripe.payment.charges"),
        QueryExecuteRequestName("stripe.payment.charges"),
        QueryExecuteRequest(from_=[CHARGES]),
    ],
)
def test_exactly_100_rows_are_a_warning(query):
    """It names the table, and what to do."""
    with pytest.warns(CappedReadWarning, match=r"stripe\.payment\.charges.*read_is_capped"):
        assert warn_if_capped(query, HUNDRED) is HUNDRED


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (QueryExecuteRequestStatement("SELECT * FROM stripe.payment.charges"), 99),
        (QueryExecuteRequestStatement("SELECT * FROM stripe.payment.charges"), 101),
        (QueryExecuteRequestStatement("SELECT * FROM stripe.payment.charges LIMIT 100"), 100),
        (QueryExecuteRequestStatement("SELECT * FROM stripe.payment.charges FETCH FIRST 100 ROWS ONLY"), 100),
        (QueryExecuteRequest(from_=[CHARGES], limit=100), 100),
        (QueryExecuteRequestStatement("SELECT * FROM peaka.table.people"), 100),
        (QueryExecuteRequestId("7"), 100),
    ],
)
def test_all_else_is_none(query, rows):
    """Another number, a limit of its own, internal tables, and queries whose tables are not known."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_capped(query, QueryResult(data=[["x"]] * rows))


def test_an_id_has_to_be_a_string():
    """The service refuses a number, so it is not sent."""
    with pytest.raises(ConfigurationError, match="must be a string, not int"):
        QueryExecuteRequestId(7)
