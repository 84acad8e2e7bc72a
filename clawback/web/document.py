"""The OpenAPI document: what FastAPI finds out of the routes, told as the API behaves."""

import re
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        for methods in made["paths"].values():
            for operation in methods.values():
                _tell(operation)
        app.openapi_schema = made
    return app.openapi_schema


# The original's way to choose a version of itself; all that is here is the same in each.
_ANYWHERE: Final = frozenset({"IrVersion"})


def query_names(app: FastAPI, operation_id: str) -> frozenset[str]:
    """The parameters that an operation takes in its query."""
    known: dict[str, frozenset[str]] | None = getattr(app.state, "query_names", None)
    if known is None:
        operations = [one for methods in document(app)["paths"].values() for one in methods.values()]
        known = {
            one["operationId"]: _ANYWHERE | {name["name"] for name in one["parameters"] if name["in"] == "query"}
            for one in operations
        }
        app.state.query_names = known
    return known[operation_id]


def methods(app: FastAPI, path: str) -> str:
    """The methods of a path, for the header Allow."""
    found: set[str] = set()
    for template, operations in document(app)["paths"].items():
        # A SKU may have any letter.
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template.replace("{Sku}", ".+")), path):
            found |= {method.upper() for method in operations}
    return ", ".join(sorted(found))


def _tell(operation: dict[str, Any]) -> None:
    # A parameter that is not given is left out; there is no null in a URL, nor in our bodies.
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        properties = {name: _without_null(one) for name, one in schema.get("properties", {}).items()}
        content["schema"] = {**schema, **({"properties": properties} if properties else {})}
    # Refusals of what FastAPI would refuse have our status.
    operation["responses"].pop("422", None)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    kinds = [_without_null(one) for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if schema.get("default") is not None:
        rest["default"] = schema["default"]
    if len(kinds) == 1:
        return kinds[0] | rest
    return rest | ({"anyOf": kinds} if kinds else {})
