// What does a person see? The API's answers as elements. Every text of others goes through textContent, never through HTML.
"use strict";

const EVERY_MS = 2000;
const TILES = 600; // more healthy hosts than this are counted, not drawn
const ROWS = 60;
const PHASES = [
  ["SUSPECT", "silent"], ["FENCING", "power off"], ["FENCED", "proven off"], ["EVACUATING", "evacuate"], ["RELEASING", "take back"],
];
const ARMED = { act: "ARMED", approve: "ARMED, asks first", observe: "OBSERVES only" };
const WELL = new Set(["HEALTHY", "EXEMPT"]);
const DONE = new Set(["VERIFIED", "RETURNED", "GONE", "SKIPPED"]);
const closed = new Set(); // incidents whose instances nobody wants to see
let freshAt = 0;

function make(tag, kind, ...parts) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...parts.filter((part) => part !== "" && part !== null));
  return element;
}

function put(id, ...parts) { document.getElementById(id).replaceChildren(...parts); }

async function ask(path) {
  const response = await fetch(path, { cache: "no-store" });
  const told = await response.json();
  if (!response.ok) throw new Error(told.error || `the answer was ${response.status}`);
  return told;
}

const byName = new Intl.Collator([], { numeric: true }).compare;

function sentence(text) { return text ? `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}. ` : ""; }

function clock(stamp) {
  const at = new Date(stamp);
  return isNaN(at) ? String(stamp) : at.toLocaleTimeString([], { hour12: false });
}

function showOffice(status) {
  const mode = document.getElementById("mode");
  mode.textContent = ARMED[status.mode] || "mode not known";
  mode.className = `badge ${ARMED[status.mode] ? status.mode : ""}`;
  put("leader", status.stale ? "nobody leads"
    : `${status.leader} leads (term ${status.term}), until ${clock(status.office_until)} unless it renews its office`);
  put("lost", ...(status.stale ? [make("p", "alarm", make("strong", "", "NOBODY LEADS, nothing is protected. "), status.sentences[0] || "")] : []));
}

function showBrake(holds) {
  put("brake", ...holds.map((hold) => make("p", "alarm", make("strong", "", `BRAKE ${hold.name}: nobody is fenced now. `),
    `${hold.reason}. Ends: ${hold.ends}.`)));
}

function showTyping(status) {
  const lines = status.sentences.filter((line) => line.startsWith("You must act: ")).map((line) => line.slice(14));
  put("type", ...(status.stale || !lines.length ? [] : [make("div", "alarm todo", make("strong", "", "You must act. Type: "),
    ...lines.map((line) => make("div", "", make("code", "", line))))]));
}

function phases(incident) {
  const state = incident.state === "NEEDS_OPERATOR" ? "FENCING" : incident.state;
  const now = PHASES.findIndex(([name]) => name === state);
  return make("ol", "phases", ...PHASES.map(([, word], index) => {
    const step = make("li", index < now ? "past" : index > now ? "" : incident.state === "NEEDS_OPERATOR" ? "stuck" : "now",
      index === now && incident.state === "NEEDS_OPERATOR" ? `${word}: needs you` : index < now ? `✓ ${word}` : word);
    if (index === now) step.setAttribute("aria-current", "step");
    return step;
  }));
}

function instances(incident) {
  const order = (one) => (DONE.has(one.state) ? 1 : 0);
  const rows = [...incident.instances].sort((a, b) => order(a) - order(b) || byName(a.name, b.name));
  const body = rows.slice(0, ROWS).map((one) => make("tr", "", make("td", "", one.name), make("td", "", one.state),
    make("td", "", one.target || "–"), make("td", "", one.reason)));
  const head = make("tr", "", ...["instance", "state", "to", "why"].map((word) => make("th", "", word)));
  const table = make("table", "", make("thead", "", head), make("tbody", "", ...body));
  const more = rows.length > ROWS ? make("p", "faint", `and ${rows.length - ROWS} more: hanode incident show ${incident.host}`) : "";
  const box = make("details", "", make("summary", "", `${rows.length} instance${rows.length === 1 ? "" : "s"}`), table, more);
  box.open = !closed.has(incident.incident);
  box.addEventListener("toggle", () => (box.open ? closed.delete(incident.incident) : closed.add(incident.incident)));
  return box;
}

function incidentCard(incident) {
  const bar = document.createElement("progress");
  bar.max = Math.max(1, incident.total);
  bar.value = incident.safe;
  bar.setAttribute("aria-label", incident.progress);
  const counted = Object.entries(incident.by_state).map(([state, count]) => `${count} ${state}`).join(", ");
  const title = make("h3", "", incident.host, make("span", "faint", `${incident.state}, since ${clock(incident.opened_at)}`),
    incident.observe_only ? make("span", "faint", "(only observed)") : "");
  return make("div", "card", title, phases(incident), make("p", "", sentence(incident.sentence), sentence(incident.reason)),
    incident.total ? bar : "", make("p", "", incident.progress, counted ? make("span", "faint", ` ${counted}`) : ""),
    incident.total ? instances(incident) : "");
}

function showIncidents(incidents) {
  put("incidents-title", incidents.length ? `Incidents (${incidents.length})` : "Incidents");
  put("incidents", ...(incidents.length ? incidents.map(incidentCard) : [make("p", "faint", "Nothing is being recovered.")]));
}

function tile(host) {
  const state = host.state === "WATCHED" ? "" : `, ${host.state}`;
  const reason = host.reason || host.exempt || "";
  return make("div", `tile ${host.verdict}`, make("b", "", host.host), make("span", "word", host.verdict + state),
    reason ? make("span", "reason", reason) : "");
}

function showHosts(all) {
  const hosts = all.sort((a, b) => byName(a.host, b.host));
  const unwell = hosts.filter((host) => !WELL.has(host.verdict) || host.state !== "WATCHED");
  const rest = hosts.filter((host) => WELL.has(host.verdict) && host.state === "WATCHED");
  const hidden = Math.max(0, rest.length - TILES);
  put("hosts-title", `Hosts (${hosts.length}${unwell.length ? `, ${unwell.length} not well` : ""})`);
  put("hosts", ...[...unwell, ...rest.slice(0, TILES)].map(tile), ...(hidden ? [make("p", "faint", `and ${hidden} more that are well`)] : []));
}

function showFreshness(error) {
  const age = Math.round((Date.now() - freshAt) / 1000);
  document.body.classList.toggle("old", Boolean(error));
  if (!error) put("freshness", `As published at ${clock(freshAt)}; this page asks again every ${EVERY_MS / 1000} s.`);
  else put("freshness", make("p", "alarm", make("strong", "", "This page is old. "),
    `${error.message}; ${freshAt ? `last answered ${age} s ago` : "nothing was ever answered"}.`));
}

async function refresh() {
  let error = null;
  try {
    const [status, hosts, incidents, holds] = await Promise.all(["api/status", "api/hosts", "api/incidents", "api/brake"].map(ask));
    freshAt = Date.now();
    showOffice(status);
    showBrake(status.stale ? [] : holds);
    showTyping(status);
    showIncidents(incidents);
    showHosts(hosts);
    document.title = status.stale ? "NOBODY LEADS - hanode" : `${incidents.length ? `(${incidents.length}) ` : ""}hanode`;
  } catch (problem) {
    error = problem;
  }
  showFreshness(error);
  setTimeout(refresh, EVERY_MS);
}

refresh();
