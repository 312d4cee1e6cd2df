"""What the sender of a series can be asked, while the series is received."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from node.config import NodeConfig
from node.errors import PeerError
from node.retrieve import FoundSeries, Keep, find_images, retrieve
from node.scu import count_images
from node.state import Ledger, SeriesRecord, short_hash

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Asks the peer that sent a series.

    Parameters
    ----------
    config : NodeConfig
    ledger : Ledger
    keep : Keep
        Keeps what comes by C-GET.
    """

    config: NodeConfig
    ledger: Ledger
    keep: Keep

    def count(self, record: SeriesRecord) -> int | None:
        """Ask how many images the series has; None where there is no answer."""
        peer = self.config.peer_of(record.calling_ae)
        if peer is None or not (peer.ask_count or peer.fetch_missing) or not record.study_uid:
            return None
        try:
            return count_images(self.config, peer, record.study_uid, record.series_uid)
        except PeerError as error:
            _warn("not_counted", record, peer.name, error)
            return None

    def fetch(self, record: SeriesRecord) -> None:
        """Have images sent that the sender holds and that did not come."""
        peer = self.config.peer_of(record.calling_ae)
        if peer is None or not peer.fetch_missing or not record.study_uid:
            return
        try:
            held = find_images(self.config, peer, record.study_uid, record.series_uid)
            missing = [uid for uid in held if not self._is_here(record, uid)]
            LOG.info(
                "fetch_missing",
                extra={"series": record.series_uid, "peer": peer.name, "images": len(missing)},
            )
            if missing:
                series = FoundSeries(study_uid=record.study_uid, series_uid=record.series_uid)
                retrieve(self.config, peer, series, self.keep, missing)
        except PeerError as error:
            _warn("missing_not_fetched", record, peer.name, error)

    def _is_here(self, record: SeriesRecord, instance: str) -> bool:
        folder = self.ledger.images(record.key)
        return (folder / f"{short_hash(instance.encode())}.dcm").exists()


def _warn(event: str, record: SeriesRecord, peer: str, error: PeerError) -> None:
    LOG.warning(
        event,
        extra={
            "series": record.series_uid,
            "peer": peer,
            "code": error.code,
            "reason": str(error),
        },
    )
