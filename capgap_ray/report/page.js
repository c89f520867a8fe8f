"use strict";
// Tables that sort and filter, and the browser of items. All text goes through textContent: none of it is markup.
(() => {
  const DASH = "—";
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // --- tables ---
  const NUMBER = /^[<+]?-?[0-9.]+(e[+-]?[0-9]+)?$/i;
  const valueOf = (text) => (NUMBER.test(text) ? Number(text.replace(/^[<+]/, "")) : text);

  const compare = (a, b) => {
    if (a === DASH || b === DASH) return 0;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const sortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", "", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        const order = next === undefined ? "ascending" : next;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        if (order) head.setAttribute("aria-sort", order);
        const keyed = original.map((row) => [valueOf(row.cells[column].textContent.trim()), row]);
        const sign = order === "descending" ? -1 : 1;
        // What is not known goes last, whichever way.
        if (order) keyed.sort(([a], [b]) => (a === DASH) - (b === DASH) || sign * compare(a, b));
        body.append(...keyed.map(([, row]) => row));
      });
    });
  };

  const filterable = (grid, table) => {
    const rows = [...table.tBodies[0].rows];
    const count = grid.querySelector(".count");
    if (rows.length < 6) return;
    const input = make("input");
    input.type = "search";
    input.placeholder = "Filter rows";
    input.setAttribute("aria-label", "Filter rows of this table");
    const said = count.textContent;
    count.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${rows.length} rows` : said;
    });
    grid.querySelector(".bar").prepend(input);
  };

  for (const grid of document.querySelectorAll(".grid")) {
    const table = grid.querySelector("table");
    sortable(table);
    filterable(grid, table);
  }

  // Paper cannot be clicked: the reasons behind the answer are printed.
  window.addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll(".student details")) each.open = true;
  });

  // --- items ---
  const holder = document.getElementById("item-data");
  const view = document.getElementById("browser");
  if (!holder || !view) return;
  const data = JSON.parse(holder.textContent);
  const arms = data.arms.map(([label, role, student, mixture, setting]) => ({ label, role, student, mixture, setting }));
  const PAGE = 8;
  const RULES = { right: "✓ right", wrong: "✗ wrong", unparsable: "? unparsable", truncated: "… truncated" };
  const state = { task: "", student: "", arm: "", change: "", text: "", page: 0 };

  const unique = (values) => [...new Set(values.filter((value) => value !== null))];
  const distilled = arms.filter((arm) => arm.role === "distilled");
  const armName = (arm) => `${arm.mixture} / ${arm.setting}`;
  const choices = [
    ["task", "Task", "every task", data.tasks],
    ["student", "Student", "every student", unique(arms.map((arm) => arm.student))],
    ["arm", "Distilled with", "every mixture and batch", unique(distilled.map(armName))],
    ["change", "What changed", "anything", ["lost", "gained", "unscored", "still wrong", "kept"]],
  ];

  const form = make("div", "choose");
  for (const [name, title, all, values] of choices) {
    const label = make("label", "", title);
    const select = make("select");
    select.name = name;
    select.append(new Option(all, ""), ...values.map((value) => new Option(value, value)));
    select.addEventListener("change", () => { state[name] = select.value; state.page = 0; draw(); });
    label.append(select);
    form.append(label);
    if (name === "student" && values.length) { state.student = values[0]; select.value = values[0]; }
  }
  const search = make("label", "", "Text");
  const input = make("input");
  input.type = "search";
  input.placeholder = "in question or answers";
  let waiting = 0;
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.text = input.value.toLowerCase(); state.page = 0; draw(); }, 150);
  });
  search.append(input);
  form.append(search);

  const said = (text) => (Array.isArray(text) ? `${text[0]}\n${text[1]}` : text);
  const concerns = (by) => {
    const arm = arms[by.a];
    return arm.role === "distilled" && (!state.student || arm.student === state.student)
      && (!state.arm || armName(arm) === state.arm);
  };
  const matches = (item) =>
    (!state.task || data.tasks[item.t] === state.task)
    && (!(state.student || state.arm || state.change) || !distilled.length
      || item.by.some((by) => concerns(by) && (!state.change || by.change === state.change)))
    && (!state.text || item.q.toLowerCase().includes(state.text) || item.id.includes(state.text)
      || item.by.some((by) => by.s.some((one) => said(one.text).toLowerCase().includes(state.text))));

  const textOf = (text) => {
    const block = make("div", "text", Array.isArray(text) ? text[0] : text);
    if (Array.isArray(text)) {
      block.append(make("span", "cut", `\n[… ${text[2].toLocaleString("en")} characters left out …]\n`), text[1]);
    }
    return block;
  };

  const judge = (one) => {
    if (one.reply === null) return "not asked";
    const verdict = one.judged === null ? "unreadable" : one.judged === 1 ? "✓ right" : "✗ wrong";
    return `${verdict} (“${one.reply}”)`;
  };

  const reply = (by, one, open) => {
    const arm = arms[by.a];
    const block = make("details", "reply");
    block.open = open;
    const summary = make("summary");
    const who = { teacher: "Teacher", baseline: "Before", distilled: "After" }[arm.role];
    summary.append(make("span", "who", `${who}: ${arm.label}${by.s.length > 1 ? `, sample ${by.s.indexOf(one) + 1}` : ""}`));
    if (by.change) summary.append(make("span", by.change, by.change));
    summary.append(make("span", "answer", one.answer === null ? "no answer found" : one.answer), make("span", "", RULES[one.rules]));
    block.append(summary);
    const facts = `Rules: ${RULES[one.rules]} (strict ${one.strict}, flexible ${one.flexible}). Judge: ${judge(one)}. ${one.tokens} tokens.`;
    block.append(make("p", "facts", facts), textOf(one.text));
    return block;
  };

  const article = (item) => {
    const block = make("article", "item");
    const header = make("header");
    header.append(make("b", "", data.tasks[item.t]), make("span", "", item.id));
    const gold = make("span", "", "gold answer ");
    gold.append(make("b", "", item.gold));
    header.append(gold);
    block.append(header, make("p", "question", item.q));
    const answers = make("div", "answers");
    const shown = item.by.filter((by) => {
      const arm = arms[by.a];
      if (arm.role === "teacher") return true;
      return arm.role === "baseline" ? !state.student || arm.student === state.student : concerns(by);
    });
    const after = shown.filter((by) => arms[by.a].role === "distilled").length;
    for (const by of shown) {
      for (const one of by.s) answers.append(reply(by, one, arms[by.a].role !== "teacher" && after <= 2));
    }
    block.append(answers);
    return block;
  };

  const list = make("div");
  const pagers = [make("div", "pager"), make("div", "pager")];
  for (const pager of pagers) {
    const turns = [["← Previous", -1], ["Next →", 1]].map(([title, step]) => {
      const button = make("button", "", title);
      button.type = "button";
      button.addEventListener("click", () => { state.page += step; draw(); form.scrollIntoView({ block: "start" }); });
      return button;
    });
    pager.append(turns[0], make("span", "at"), turns[1]);
  }
  pagers[0].querySelector(".at").setAttribute("role", "status");

  const draw = () => {
    const found = data.items.filter(matches);
    const from = state.page * PAGE;
    const part = found.slice(from, from + PAGE);
    const at = found.length ? `${from + 1}–${from + part.length} of ${found.length} items` : "No item is like that.";
    for (const pager of pagers) {
      const [back, forth] = pager.querySelectorAll("button");
      back.disabled = !state.page;
      forth.disabled = from + PAGE >= found.length;
      pager.querySelector(".at").textContent = at;
    }
    pagers[1].hidden = found.length <= PAGE;
    list.replaceChildren(...part.map(article));
  };
  view.replaceChildren(form, pagers[0], list, pagers[1]);
  draw();
})();
