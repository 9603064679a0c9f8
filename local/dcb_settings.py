"""The settings of the DCB jobs for the two sandboxes of the local stack: the shipped file, with the mode `drive`."""

import re

from botocore.exceptions import ClientError

from .s3 import S3Server
from .settings import BUCKET, ROOT

KEY = "config/dcb.yaml"
SHIPPED = ROOT / "include" / "alma_etl" / "dcb" / "dcb.yaml"
_HEAD = """\
# Put here by the local stack, for its two sandboxes: without this file the DCB jobs only observe. Before you point a
# connection below at an Alma of yours, replace the systems by your own, and think about the mode.

"""


def driving(shipped: str) -> str:
    """The shipped settings with the mode `drive`."""
    text, found = re.subn(r"(?m)^mode:.*$", "mode: drive", shipped)
    if found != 1:
        raise ValueError(f"{SHIPPED} has {found} lines `mode:`, one is expected")
    return _HEAD + text


def put_dcb_settings(s3: S3Server) -> bool:
    """Put `config/dcb.yaml` into a bucket that has none, since a person's own is left alone; whether it was put."""
    client = s3.client()
    try:
        client.head_object(Bucket=BUCKET, Key=KEY)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    text = driving(SHIPPED.read_text("utf-8"))
    client.put_object(Bucket=BUCKET, Key=KEY, Body=text.encode(), ContentType="application/yaml")
    return True
