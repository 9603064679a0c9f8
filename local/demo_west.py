"""The demo's first step: the nightly WEST delivery, of all titles that the sandbox has."""

from .demo_tools import Demo, DemoFailedError, shown


def west_holdings(demo: Demo) -> None:
    """Runs `west_holdings` with the settings of its nightly run and shows what it delivered."""
    run_id = demo.run_dag("west_holdings", {})
    manifests = [key for key in demo.keys("west/deliveries/") if key.endswith(".manifest.json")]
    delivered = [(key, demo.read_json(key)) for key in manifests]
    mine = [(key, manifest) for key, manifest in delivered if manifest["run_id"] == run_id]
    if not mine:
        raise DemoFailedError(
            f"The run {run_id} succeeded, but there is no delivery of it in west/deliveries/."
        )
    demo.say("\nDelivered to WEST:")
    for key, manifest in mine:
        stem = key.removesuffix(".manifest.json")
        records = demo.download(f"{stem}.mrc")
        outcomes = demo.download(f"{stem}.outcomes.csv")
        demo.say(
            f"  {manifest['file']}: {manifest['records']} records, {manifest['bytes']} bytes "
            f"({manifest['titles']} titles, {manifest['holdings']} holdings looked at)"
        )
        for outcome, count in manifest["counts"].items():
            demo.say(f"    {count:6} {outcome}")
        demo.say(f"  s3://{demo.addresses.bucket}/{stem}.mrc")
        demo.say(f"  {shown(records)}\n  {shown(outcomes)}\n  {shown(demo.download(key))}")
    demo.say_page("west_holdings", run_id)
    for key in demo.keys(f"runs/west_holdings/{run_id}/"):
        if key.endswith("report.html"):
            demo.say(f"  {shown(demo.download(key))}    the report for people")
