"""The request and the reply that the documentation of update-item prints, and its messages."""

import re

REQUEST = """<?xml version="1.0" encoding="UTF-8"?> <update-item> <z30> <z30-doc-number>51077</z30-doc-number>
 <z30-item-sequence>10</z30-item-sequence> <z30-barcode>B51872</z30-barcode> <z30-sub-library>WID</z30-sub-library>
 <z30-material>BOOK</z30-material> <z30-item-status>01</z30-item-status> <z30-open-date>20011017</z30-open-date>
 <z30-update-date>20020516</z30-update-date> <z30-cataloger>EXLIBRIS</z30-cataloger>
 <z30-date-last-return>20080419</z30-date-last-return> <z30-hour-last-return>1631</z30-hour-last-return>
 <z30-ip-last-return>CONV</z30-ip-last-return> <z30-no-loans>011</z30-no-loans> <z30-alpha>L</z30-alpha>
 <z30-collection>GEN</z30-collection> <z30-call-no-type>7</z30-call-no-type>
 <z30-call-no>Heb 2106.385.5</z30-call-no> <z30-call-no-key>7 selected</z30-call-no-key> <z30-call-no-2-type />
 <z30-call-no-2 /> <z30-call-no-2-key /> <z30-description>v.1</z30-description> <z30-note-opac />
 <z30-note-circulation /> <z30-note-internal /> <z30-order-number /> <z30-inventory-number />
 <z30-inventory-number-date /> <z30-last-shelf-report-date>00000000</z30-last-shelf-report-date> <z30-price />
 <z30-shelf-report-number /> <z30-on-shelf-date>00000000</z30-on-shelf-date>
 <z30-on-shelf-seq>000000</z30-on-shelf-seq> <z30-doc-number-2>000000015</z30-doc-number-2>
 <z30-schedule-sequence-2>00000</z30-schedule-sequence-2> <z30-copy-sequence-2>00000</z30-copy-sequence-2>
 <z30-vendor-code /> <z30-invoice-number /> <z30-line-number>00000</z30-line-number> <z30-pages />
 <z30-issue-date /> <z30-expected-arrival-date /> <z30-arrival-date /> <z30-item-statistic />
 <z30-item-process-status>BD</z30-item-process-status> <z30-copy-id>1</z30-copy-id>
 <z30-hol-doc-number></z30-hol-doc-number> <z30-temp-location>No</z30-temp-location> <z30-enumeration-a />
 <z30-enumeration-b /> <z30-enumeration-c /> <z30-enumeration-d /> <z30-enumeration-e /> <z30-enumeration-f />
 <z30-enumeration-g /> <z30-enumeration-h /> <z30-chronological-i /> <z30-chronological-j /> <z30-chronological-k />
 <z30-chronological-l /> <z30-chronological-m /> <z30-supp-index-o /> <z30-85x-type /> <z30-depository-id />
 <z30-linking-number>000000000</z30-linking-number> <z30-gap-indicator />
 <z30-maintenance-count>007</z30-maintenance-count> <z30-process-status-date>20080408</z30-process-status-date>
 </z30> </update-item>""".replace("\n", "")

# What the reply shows otherwise than the request: the key, words for codes, dates, and what Aleph writes itself.
_SHOWN = {
    "doc-number": "50706", "sub-library": "Main Library", "material": "Book", "item-status": "At bindery",
    "open-date": "17/10/2001", "update-date": "21/11/2018", "cataloger": "WWW-X", "date-last-return": "19/04/2008",
    "hour-last-return": "16:31", "collection": "General", "call-no-key": "7 heb 2106.385.5",
    "hol-doc-number": "000000000", "process-status-date": "20181121",
}  # fmt: skip
SESSION = "5F8BR7PXP25F2Q7R71JLHAY2CBXGU1IAKCTRKQA78EKY5ED7AT"
SUCCESS = "Item has been updated successfully"


def _reply() -> str:
    body = re.sub(r"<(z30-[\w-]+) />", r"<\1></\1>", REQUEST).replace(
        '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version = "1.0" encoding = "UTF-8"?>'
    )
    for name, text in _SHOWN.items():
        body, found = re.subn(rf"<z30-{name}>[^<]*<", f"<z30-{name}>{text}<", body)
        assert found == 1, name
    tail = (
        "<z30-upd-time-stamp>201811210803505</z30-upd-time-stamp> "
        "<z30-ip-last-return-v6></z30-ip-last-return-v6> </z30>"
        f" <error>{SUCCESS}</error> <session-id>{SESSION}</session-id> </update-item>"
    )
    return body.replace("</z30> </update-item>", tail)


REPLY = _reply()

NO_ITEM = "no item exist based on given doc number and item sequence"
NO_ADM = "Input ADM document doesn’t exist. Item cannot be created"
FAILED = "Failed to update the item "
NOT_ADM = "Input library must be an Administrative library "
NO_XML = "xml must be provided to update Item "
SHORT_TERM = " Item has Short-term requests. Item Information can’t be updated"
