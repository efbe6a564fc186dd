"""lxml and Pillow: an XML document is searched and a picture is scaled."""

import io

from lxml import etree
from PIL import Image

import kept
import plain_server

KEPT = kept.some()
TREE = etree.fromstring(b"<r>" + b"".join(b'<item n="%d"><name>name %d</name></item>' % (n, n) for n in range(5000)) + b"</r>")
ELEMENTS = TREE.findall("item")
PICTURE = Image.new("RGB", (400, 300), "red")


def answer(_):
    found = TREE.xpath("//item[@n='77']/name/text()")
    out = io.BytesIO()
    PICTURE.resize((40, 30)).save(out, "PNG")
    return found[0].encode() + out.getvalue()


plain_server.serve(answer)
