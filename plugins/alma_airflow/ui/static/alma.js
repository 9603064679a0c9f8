// Two comforts; every page is whole without them. The theme that Airflow keeps for its own pages, and links that lead
// out of the frame in which Airflow shows a page: the frame itself may not lead anywhere else.
(() => {
  const theme = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch {
      // no storage in this browser: the system's theme
    }
    if (chosen === "light" || chosen === "dark") {
      document.documentElement.dataset.theme = chosen;
    } else {
      delete document.documentElement.dataset.theme;
    }
  };
  theme();
  addEventListener("storage", theme);

  addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[target]") : null;
    if (link === null || window.top === window || event.defaultPrevented) {
      return;
    }
    let outside;
    try {
      outside = window.top.document;
    } catch {
      return; // the frame of another site
    }
    event.preventDefault();
    const copy = outside.createElement("a");
    copy.href = link.href;
    copy.rel = link.rel;
    copy.target = link.target === "_top" ? "_self" : link.target;
    copy.click();
  });
})();
