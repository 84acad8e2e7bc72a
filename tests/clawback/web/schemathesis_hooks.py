"""What Schemathesis has to be told of our document and our answers; it runs this file itself."""

import xml.etree.ElementTree as ET
from typing import Any

import schemathesis

EXCLUDED = ("EventTypeId", "DispositionCode")


@schemathesis.hook
def before_load_schema(context: object, raw_schema: dict[str, Any]) -> None:
    """Tell of a field that excludes another by a pattern that only its name fits, which means the same.

    Coverage begins with a body of all properties, and would draw thousands in vain until it gives that up.
    """
    del context
    for path in raw_schema["paths"].values():
        for operation in path.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schema = content["schema"]
                if "not" in schema:
                    for name in EXCLUDED:
                        if name in schema["properties"] and name not in schema.get("required", ()):
                            patterns = schema.setdefault("patternProperties", {})
                            patterns[f"^{name}$"] = schema["properties"].pop(name)


@schemathesis.deserializer("application/xml")
def of_xml(context: object, response: Any) -> dict[str, Any]:  # noqa: ANN401 - its own class
    """An answer in XML as what stands below its root, which every answer has; raises what is told as a finding."""
    del context
    root = ET.fromstring(response.content)  # noqa: S314 - our own
    if root.tag != "ImpactRadiusResponse":
        raise ValueError(f"The root is {root.tag}.")
    return {one.tag: one.text for one in root}
