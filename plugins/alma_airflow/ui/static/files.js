// Comforts of the upload forms, which are whole without them: a file may be dropped anywhere on the form, one that is too
// large is refused before it is sent, and only what the chosen profile does is shown.
(() => {
  for (const form of document.querySelectorAll("form.upload")) {
    const input = form.querySelector("input[type=file]");
    const largest = Number(form.dataset.largest) * 1e6;
    const over = (on) => form.classList.toggle("over", on);
    form.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    form.addEventListener("dragleave", () => over(false));
    form.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer.files.length > 0) {
        const one = new DataTransfer();
        one.items.add(event.dataTransfer.files[0]);
        input.files = one.files;
        input.dispatchEvent(new Event("change"));
      }
    });
    input.addEventListener("change", () => {
      const size = input.files.length > 0 ? input.files[0].size : 0;
      input.setCustomValidity(size > largest ? `This file is too large: at most ${largest / 1e6} MB can be uploaded.` : "");
      input.reportValidity();
    });

    const select = form.querySelector("select[name=profile]");
    const explained = form.closest("section")?.querySelectorAll("[data-profile]") ?? [];
    const show = () => {
      for (const each of explained) {
        each.hidden = each.dataset.profile !== select.value;
      }
    };
    select.addEventListener("change", show);
    show();
  }
})();
