from shared.definition import SqlType
from submitter.pipeline.catalog_values import CatalogColumn
from submitter.pipeline.extra import answered, metadata_faults, metadata_of

KEYS = "'error-string' and 'http-status-code'"
TEXT, INT = SqlType(root="VARCHAR", length=2**31 - 1), SqlType(root="INTEGER")


def column(name: str, type_: SqlType = TEXT, key: str | None = None) -> CatalogColumn:
    kind = "physical" if key is None else "metadata"
    sql = "VARCHAR(2147483647)" if type_ is TEXT else "INT"
    return CatalogColumn(name, type_, sql, kind=kind, metadata_key=key)  # type: ignore[arg-type]  # Literal by name


def test_metadata_of_an_answer_is_told_by_its_key_or_by_its_own_name() -> None:
    output = (
        column("label"),
        column("why", key="error-string"),
        column("http-status-code", INT),
        column("error_string"),
    )
    assert [each.name for each in answered(output)] == ["label", "error_string"]
    assert metadata_of(output) == {"why": "prediction_error", "http-status-code": "http-status-code"}
    assert not list(metadata_faults("m", (), output))


def test_metadata_that_no_answer_has_is_named() -> None:
    headers = column("http-headers-map")
    output = (
        column("h", key="http-headers-map"),
        headers,
        column("http-status-code"),
        column("w", INT, "error-string"),
    )
    said = list(metadata_faults("m", (column("x", key="error-string"),), output))
    assert said == [
        "the INPUT of model m has the metadata column 'x': only OUTPUT can have one",
        f"OUTPUT column 'h': there is no metadata 'http-headers-map' of an answer, only {KEYS}",
        f"OUTPUT column 'http-headers-map': there is no metadata 'http-headers-map' of an answer, only {KEYS}",
        "OUTPUT column 'http-status-code': metadata 'http-status-code' is INT, and not STRING",
        "OUTPUT column 'w': metadata 'error-string' is STRING, and not INT",
    ]
