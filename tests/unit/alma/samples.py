"""Objects as Alma answers with them."""

REQUEST = {
    "request_id": "12",
    "request_type": "HOLD",
    "request_status": "NOT_STARTED",
    "user_primary_id": "u1",
    "mms_id": "991",
    "item_id": "231",
    "pickup_location_library": "MAIN",
    "place_in_queue": 2,
    "comment": None,
}

LOAN = {
    "loan_id": "73",
    "user_id": "u1",
    "item_id": "231",
    "item_barcode": "B1",
    "library": {"value": "MAIN"},
    "due_date": "2026-12-01T18:00:00Z",
    "loan_status": "Active",
    "process_status": "NORMAL",
}

USER = {
    "primary_id": "u1",
    "record_type": {"value": "PUBLIC"},
    "account_type": {"value": "EXTERNAL"},
    "status": {"value": "ACTIVE"},
    "user_group": {"value": "UGRD"},
    "expiry_date": "2027-01-01Z",
    "first_name": "Invented",
    "user_block": [
        {
            "block_type": {"value": "USER"},
            "block_description": {"value": "02-GLOBAL"},
            "block_status": "Active",
        }
    ],
}


def item_object(pid="231", **data):
    return {
        "bib_data": {"mms_id": "991", "title": "T"},
        "holding_data": {"holding_id": "221", "in_temp_location": False},
        "item_data": {
            "pid": pid,
            "barcode": "B1",
            "library": {"value": "MAIN"},
            "location": {"value": "stacks"},
            "policy": {},
            "physical_material_type": {"value": "BOOK", "desc": "Book"},
            "base_status": {"value": "0"},
            "process_type": {"value": "LOAN"},
            "requested": False,
            **data,
        },
    }


def instance(status, **more):
    return {
        "id": "7",
        "name": "Export",
        "status": {"value": status},
        "progress": 40,
        "job_info": {"id": "M48"},
        **more,
    }
