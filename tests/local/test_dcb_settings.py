"""The DCB settings that the local stack brings for its sandboxes."""

from pathlib import Path

from alma_etl.dcb.settings import DcbSettings, shipped_settings
from alma_etl.jobs.settings_files import read_settings
from local.dcb_settings import KEY, SHIPPED, driving, put_dcb_settings
from local.s3 import start_s3
from local.settings import BUCKET


def test_the_stack_brings_the_shipped_systems_and_drives_them():
    brought = read_settings(driving(SHIPPED.read_text("utf-8")), DcbSettings, source=KEY)
    assert brought == shipped_settings().model_copy(update={"mode": "drive"})


def test_a_bucket_without_dcb_settings_gets_them_and_those_of_a_person_stay(tmp_path: Path):
    s3 = start_s3(tmp_path, buckets=(BUCKET,))
    try:
        client = s3.client()
        assert put_dcb_settings(s3)
        assert b"mode: drive" in client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        client.put_object(Bucket=BUCKET, Key=KEY, Body=b"mode: observe\n")
        assert not put_dcb_settings(s3)
        assert client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"mode: observe\n"
    finally:
        s3.stop()
