"""The DAG of the job in tests/unit/jobs/shelving.py, as docs/jobs.md shows it."""

from datetime import datetime

from airflow.sdk import DAG, TriggerRule, task_group

from alma_airflow.operators.file_jobs import ChunkStep, FinalStep, ReadFile, file_dag, file_job, file_params

JOB = file_job("tests.unit.jobs.shelving.Shelving", area="shelving", dag_id="shelving")

with DAG(
    **file_dag(JOB),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params=file_params("shelving", "hall/march.txt"),
):
    chunks = ReadFile(task_id="read_file", job=JOB)

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the list."""
        ChunkStep(task_id="load", job=JOB, step="load", chunk=chunk, connections={"shelf": "shelf_default"})

    reported = FinalStep(task_id="report", job=JOB, trigger_rule=TriggerRule.ALL_DONE)
    filed = FinalStep(task_id="file_away", job=JOB)
    outcome = FinalStep(task_id="check_outcome", job=JOB, trigger_rule=TriggerRule.ALL_DONE)

    chunks >> each_chunk.expand(chunk=chunks.output) >> reported >> filed >> outcome
