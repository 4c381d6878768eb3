"""The deviations of the code from the published document, with their reasons."""

_ARRAY = "the live service answers an array; a single object and {items} are read too"
_SHAPE = "the document has an untyped map; first-party clients depend on this shape"

DEVIATIONS = {
    "InitSessionRequest.autoCreateCatalog": "the operation's description has it, the schema of the modes does not",
    "InitSessionRequest.connectorType": "the operation's description has it, the schema of the modes does not",
    "InitSessionRequest.featureFlags": "the operation's example has it, the schema of the modes does not",
    "MetadataColumn.sampleValues": "the document has no such property; the service answers it",
    "Meta.query": "the document refers to the saved query of the same name; the service answers the text searched for",
    "api_keys.list(answer)": _ARRAY,
    "cache.full_refresh(answer)": _SHAPE,
    "cache.incremental_update(answer)": _SHAPE,
    "connections.list_configs(answer)": _ARRAY,
    "connections.list(answer)": _ARRAY,
    "internal_tables.add_bi_column(answer)": _ARRAY,
    "internal_tables.add_column(answer)": _ARRAY,
    "metadata.generate_sample_questions(answer)": _SHAPE,
    "metadata.generate_semantics(answer)": _SHAPE,
    "metadata.list_relations(answer)": _SHAPE,
    "metadata.get(answer)": _SHAPE,
    "metadata.list_golden_sqls(answer)": _SHAPE,
    "metadata.query_golden_sqls(answer)": _SHAPE,
    "metadata.query(answer)": _SHAPE,
    "organizations.list(answer)": _ARRAY,
    "queries.execute(answer)": "the document has no schema; its examples, one for each format, have this shape",
    "query_folders.list(answer)": "the items alone, as all lists",
    "sql.transpile(answer)": "the document has no schema; the service answers `query`, the example `result`",
    "supported_drivers.get_jdbc(answer)": "the string is an object of connection strings, not always valid JSON",
    "supported_drivers.get_sql_alchemy(answer)": "the string is an object of connection strings",
    "supported_drivers.get(answer)": "the string is an object of connection strings",
    "workspaces.list(answer)": _ARRAY,
}

# Models that are needed for a deviation.
NOT_REACHED = {"QueryFolderListResponse"}

EXAMPLES_BEYOND_THE_SCHEMA = {
    # The example has an id, which is set by the service.
    "cache.create": {"id"},
}

NOT_JSON = {
    # The example is a comment on the possible values.
    "metadata.get_refresh_status",
}
