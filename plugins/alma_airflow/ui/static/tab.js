// The tab "Alma" of a DAG, a run or a task in Airflow: the page of ours that belongs to it, in a frame.
// Airflow's own frames of external views have no login for what they load; the component of a plugin may make its own.
globalThis.AirflowPlugin = ({ dagId, runId }) => {
  const base = new URL(document.baseURI).pathname.replace(/\/$/, "");
  const path = runId === undefined ? `jobs/${encodeURIComponent(dagId)}` : `runs/${encodeURIComponent(dagId)}/${encodeURIComponent(runId)}`;
  return globalThis.React.createElement("iframe", {
    src: `${base}/alma/${path}`,
    style: { border: "none", display: "block", height: "100%", minHeight: "70vh", width: "100%" },
    title: "Alma",
  });
};
