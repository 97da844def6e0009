// What the pages do by themselves: they follow the server, and their sliders follow each other.
"use strict";

(() => {
  const main = document.getElementById("main");
  const pulse = document.getElementById("pulse");
  const AGAIN_MS = 5000;
  let source = null;
  let again = 0;
  let newest = 0;
  let held = null;
  let moved = null;

  const say = (state, text) => {
    if (pulse.textContent !== text) {
      pulse.textContent = text;
      pulse.dataset.state = state;
    }
  };

  // A piece of the page arrives; what the reader has opened in it stays open.
  const show = (html) => {
    const live = document.getElementById("live");
    const open = [...live.querySelectorAll("details[open]")].map((one) => one.id);
    htmx.swap(live, html, { swapStyle: "innerHTML", settleDelay: 0 });
    open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  };

  // The aggregate has another version: ask for this page again, it knows what to show. What the
  // reader has asked for meanwhile goes first, and brings the new version along.
  const refresh = () => {
    const then = document.getElementById("then");
    if (then && Number(then.dataset.head) < newest) {
      const swap = "outerHTML show:none";
      htmx.ajax("GET", location.href, { source: main, target: "#then", swap });
    }
  };

  const connect = () => {
    clearTimeout(again);
    source = new EventSource(main.dataset.live);
    source.onopen = () => say("live", "live");
    source.onerror = () => {
      say("lost", "reconnecting");
      // The browser tries again by itself, unless the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) {
        again = setTimeout(connect, AGAIN_MS);
      }
    };
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        say("live", "live");
        act(event.data);
      });
    on("fragment", show);
    on("head", (version) => {
      newest = Number(version);
      refresh();
    });
    source.addEventListener("trouble", (event) => say("lost", event.data));
  };

  const disconnect = () => {
    clearTimeout(again);
    source?.close();
    source = null;
  };

  // A browser has few connections to one server: pages that nobody looks at give theirs back.
  const attend = () => {
    if (document.visibilityState === "hidden") {
      disconnect();
      say("paused", "paused");
    } else if (source === null) {
      connect();
    }
  };

  // Both sliders and the clock stand where the shown state stands, but for the one that the reader
  // holds, or has moved without an answer yet.
  const align = () => {
    const then = document.getElementById("then");
    const version = document.getElementById("version");
    if (!then || !version) {
      return;
    }
    const { head, first, last, step, ms, at } = then.dataset;
    const place = (input, bounds, value) => {
      if (input !== held && input !== moved) {
        Object.assign(input, bounds);
        input.value = value;
      }
    };
    place(version, { max: head }, then.dataset.version);
    const moment = document.getElementById("ms");
    place(moment, { min: first, max: last, step }, ms);
    place(document.getElementById("at"), {}, at);
    const shown = (number) => Number(number).toLocaleString("en");
    document.getElementById("version-shown").value =
      `${shown(then.dataset.version)} of ${shown(head)}`;
    moment.setAttribute("aria-valuetext", `${at.replace("T", " ")} UTC`);
  };

  addEventListener("input", (event) => (moved = event.target));
  addEventListener("pointerdown", (event) => (held = event.target));
  addEventListener("pointerup", () => (held = null));
  addEventListener("pointercancel", () => (held = null));

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (moved && detail.requestConfig.parameters[moved.name] === moved.value) {
      moved = null;
    }
    // Where the state cannot be shown, the answer is an error, and still the part asked for.
    if (detail.xhr.responseText.trimStart().startsWith('<div id="then"')) {
      detail.shouldSwap = true;
      detail.isError = false;
    }
  });
  document.addEventListener("htmx:afterSettle", () => {
    align();
    refresh();
  });
  document.addEventListener("htmx:responseError", (event) =>
    say("lost", `the server answered ${event.detail.xhr.status}`),
  );
  document.addEventListener("htmx:sendError", () => say("lost", "the server does not answer"));
  align();
  if (main.dataset.live) {
    document.addEventListener("visibilitychange", attend);
    addEventListener("pagehide", disconnect);
    addEventListener("pageshow", attend);
    attend();
  }
})();
