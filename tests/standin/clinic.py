"""Patients of the paginated API: how many pages each has, and what is on them.

The numbers of pages come from MD5 of the patient's id, as in the original, so the totals
over many patients are known exactly.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

RANGES: Final = {
    "assessments": (2, 4),
    "conditions": (1, 3),
    "medications": (2, 3),
    "vital_signs": (1, 1),
}
"""Least and most pages of each kind of a patient's data."""

BATCH_PATIENTS_MAX: Final = 500
RECORD_PAGES_LEAST: Final = 2
RECORD_PAGES_SPREAD: Final = 4

_CHUNK: Final = "0123456789abcdef"


def digest(text: str) -> int:
    """Return MD5 of a text as a number."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


# -- patient-records ------------------------------------------------------------------


def record_pages(patient: str) -> int:
    """Return how many pages of records a patient has: 2 to 5."""
    return RECORD_PAGES_LEAST + digest(patient) % RECORD_PAGES_SPREAD


def records(patient: str, page: int, size: int, payload_kb: float, url: str) -> dict[str, Any]:
    """Return one page of a patient's records, FHIR-like."""
    pages = record_pages(patient)
    note = filler(int(payload_kb * 1024 / max(size, 1)))
    links = [{"relation": "self", "url": f"{url}?patientId={patient}&page={page}"}]
    if page < pages:
        links.append({"relation": "next", "url": f"{url}?patientId={patient}&page={page + 1}"})
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": pages * size,
        "link": links,
        "entry": [_record(patient, page, number, note) for number in range(1, size + 1)],
        "meta": {
            "patientId": patient,
            "page": page,
            "pageSize": size,
            "totalPages": pages,
            "hasMore": page < pages,
        },
    }


def _record(patient: str, page: int, number: int, note: str) -> dict[str, Any]:
    identity = f"{patient}-{page}-{number}"
    return {
        "fullUrl": f"urn:record:{identity}",
        "resource": {
            "resourceType": "MedicationRequest",
            "id": identity,
            "status": "active",
            "subject": {"reference": f"Patient/{patient}"},
            "note": [{"text": note}],
        },
    }


def filler(size: int) -> str:
    """Return a text of so many characters."""
    return (_CHUNK * (size // len(_CHUNK) + 1))[: max(size, 0)]


# -- the patient flow -----------------------------------------------------------------


def pages(patient: str | int, kind: str) -> int:
    """Return how many pages a patient has of one kind of data."""
    least, most = RANGES[kind]
    return least + digest(f"{patient}:{kind}") % (most - least + 1)


def page_of(patient: str | int, kind: str, page: int) -> dict[str, Any]:
    """Return one page of a patient's data: one record."""
    total = pages(patient, kind)
    return {
        "data": [record_of(patient, kind, page)],
        "paging": {"hasMore": page < total, "page": page, "pageSize": 1, "total": total},
    }


def record_of(patient: str | int, kind: str, page: int) -> dict[str, Any]:
    """Return the record that is on one page."""
    seed = digest(f"{patient}:{kind}:{page}")
    record: dict[str, Any] = {
        "patientId": patient,
        "type": kind,
        "page": page,
        "recordId": f"{kind}-{patient}-{page}",
        "value": seed % 1000,
    }
    if kind == "assessments":
        record["mdsAssessmentIds"] = mds_ids(patient, page)
    return record


def mds_ids(patient: str | int, page: int = 1) -> list[str]:
    """Return the ids of the assessments' details that a page of assessments names: 5 to 10."""
    count = 5 + digest(f"{patient}:assessments:{page}") % 6
    return [f"mds-{patient}-{page}-{number}" for number in range(1, count + 1)]


def demographics(patient: str | int) -> dict[str, Any]:
    """Return who a patient is."""
    seed = digest(f"{patient}:demographics")
    return {
        "patientId": patient,
        "firstName": f"First{patient}",
        "lastName": f"Last{patient}",
        "birthDate": f"{1930 + seed % 60}-{1 + seed % 12:02}-{1 + seed % 28:02}",
        "gender": "F" if seed % 2 else "M",
    }


def mds_detail(identity: str) -> dict[str, Any]:
    """Return the details of one assessment."""
    seed = digest(identity)
    return {
        "assessmentId": identity,
        "status": "complete",
        "score": seed % 100,
        "sections": {letter: seed >> shift & 7 for shift, letter in enumerate("ABCDE")},
    }


def facility(patient: int, patients_per_facility: int) -> int:
    """Return the facility of a patient: they are numbered through, facility by facility."""
    return (patient - 1) // max(patients_per_facility, 1) + 1


def batch(kind: str, patients: list[int], patients_per_facility: int) -> dict[str, Any]:
    """Return everything of one kind for many patients, as rows to store."""
    rows: list[dict[str, Any]] = []
    for patient in patients:
        where = {
            "patient_id": patient,
            "facility_mapping_id": facility(patient, patients_per_facility),
        }
        rows += [{**where, **row} for row in _rows(kind, patient)]
    return {"dataType": kind, "patientCount": len(patients), "rowCount": len(rows), "rows": rows}


def _rows(kind: str, patient: int) -> list[dict[str, Any]]:
    if kind == "demographics":
        return [{"payload": demographics(patient)}]
    if kind == "mds":
        return [
            {"assessment_id": identity, "payload": mds_detail(identity)}
            for identity in mds_ids(patient)
        ]
    total = pages(patient, kind)
    return [
        {
            "page_number": page,
            "payload": record_of(patient, kind, page),
            "is_last_page": page == total,
        }
        for page in range(1, total + 1)
    ]
