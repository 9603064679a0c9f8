"""Reading the sides of a request: what Alma and mod-dcb answer, in the words of the observations."""

from alma_etl.dcb.reading.alma import AlmaReader
from alma_etl.dcb.reading.folio import FolioReader

__all__ = ["AlmaReader", "FolioReader"]
