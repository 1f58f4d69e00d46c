"""IPTC's digital source type in XMP: what search engines, shops and ad platforms read of a picture's making.

The term is of IPTC's NewsCodes, digitalsourcetype. XMP is written as a packet that any reader of Adobe's format finds.
"""

from __future__ import annotations

import re

from p2i_ray.config.provenance import SourceType

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TERMS: dict[SourceType, str] = {
    "composite": "compositeWithTrainedAlgorithmicMedia",
    "generated": "trainedAlgorithmicMedia",
}
_NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="{namespace}"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType="{term}"
    xmp:CreatorTool="{tool}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
# As an attribute, or as an element of its own.
_FOUND = re.compile(rb"DigitalSourceType\s*(?:=\s*[\"']|>\s*)([^\"'<\s]+)")


def term(source_type: SourceType) -> str:
    """The URI of a digital source type."""
    return VOCABULARY + TERMS[source_type]


def packet(source_type: SourceType, tool: str) -> bytes:
    """An XMP packet with the digital source type, and the software that made the picture (a plain name)."""
    return _PACKET.format(namespace=_NAMESPACE, term=term(source_type), tool=tool).encode()


def find(xmp: bytes) -> str | None:
    """The digital source type in an XMP packet, of whatever writer; none: it has none."""
    found = _FOUND.search(xmp)
    return found[1].decode("utf-8", "replace") if found else None
