(() => {
  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = `data:${type};charset=utf-8,${encodeURIComponent(text)}`;
    link.download = name;
    link.click();
  };
  const button = (label, action) => {
    const made = document.createElement("button");
    made.className = "save";
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", action);
    return made;
  };
  const nameOf = (element, ending) => {
    const title = element.dataset.name || document.title;
    return `${title.toLowerCase().replace(/[^\p{L}\d]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60)}.${ending}`;
  };
  const cell = (td) => td.textContent.trim().replace(/\s+/g, " ");
  const number = (text) => {
    const found = text.replace("−", "-").match(/^< ?[\d.]+|^[+-]?\d+(\.\d+)?/);
    return found ? parseFloat(found[0].replace("< ", "").replace("<", "")) : NaN;
  };
  for (const figure of document.querySelectorAll("figure")) {
    figure.append(button("save SVG", () => {
      const text = new XMLSerializer().serializeToString(figure.querySelector("svg"));
      save(nameOf(figure, "svg"), "image/svg+xml", text);
    }));
  }
  for (const table of document.querySelectorAll("table")) {
    const csv = () => [...table.rows].map((row) =>
      [...row.cells].map((td) => `"${cell(td).replaceAll('"', '""')}"`).join(",")).join("\n");
    (table.closest(".scroll") || table).after(button("save CSV", () => save(nameOf(table, "csv"), "text/csv", csv())));
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const [head, ...rows] = table.rows;
    [...head.cells].forEach((th, column) => {
      if (!cell(th)) return;
      const label = cell(th);
      th.textContent = "";
      const sorter = button(label, () => {
        const up = th.getAttribute("aria-sort") !== "ascending";
        for (const other of head.cells) other.removeAttribute("aria-sort");
        th.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => cell(row.cells[column]);
        rows.sort((a, b) => {
          const [x, y] = [number(key(a)), number(key(b))];
          const order = isNaN(x) || isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
          return up ? order : -order;
        });
        rows.forEach((row) => row.parentNode.append(row));
      });
      sorter.className = "";
      th.append(sorter);
    });
  }
})();
