/** Measurements for tests. Playwright evaluates this file in the page, outside of the page's policy. */
(() => {
  const ACTIVE = "a[href], button, input:not([type=hidden]), select, summary, textarea, [tabindex='0']";

  // Hidden, drawn, with its own scrollbar, or floating over the page.
  const UNMEASURED = ".visually-hidden, .skip-link, .chart, svg, .scroll, .connection-state";

  // Headings of a table may be there for screen readers only.
  const isClipped = (node) => node.closest("th") !== null && getComputedStyle(node.closest("th")).clipPath === "inset(50%)";
  const isSeen = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !isClipped(node);
  const modal = () => document.querySelector("dialog[open]") ?? document;

  /** What lies over the page and hides a part of it: a modal dialog, or the list of accounts. */
  const topmost = () => document.querySelector("dialog[open], .switcher[open]") ?? document;

  /** Whether it ends with an ellipsis where it is too long, and has a title with all of it, or an option with its code. */
  function isShortened(node) {
    const { textOverflow, webkitLineClamp } = getComputedStyle(node);
    return node.matches("[title], :has(> [title])") && (textOverflow === "ellipsis" || webkitLineClamp !== "none");
  }

  /** The shortened element with this text. */
  function shortened(node) {
    const title = node.closest("[title]");
    return [node, title, title?.parentElement].find((one) => one && isShortened(one));
  }

  /** A line of text as far as it is shown, and not scrolled out of its list. */
  function shownPart(node, line) {
    const around = node.closest(".switcher ul");
    if (!around) return line;
    const box = around.getBoundingClientRect();
    const [left, top] = [Math.max(line.left, box.left), Math.max(line.top, box.top)];
    const [width, height] = [Math.min(line.right, box.right) - left, Math.min(line.bottom, box.bottom) - top];
    return new DOMRect(left, top, Math.max(0, width), Math.max(0, height));
  }

  /** The lines of the range; of a shortened text, whose lines can't be measured, its box. */
  function shownLines(node, range) {
    const lines = shortened(node) ? [shortened(node).getBoundingClientRect()] : [...range.getClientRects()];
    return lines.map((line) => shownPart(node, line)).filter(({ width, height }) => width > 1 && height > 1);
  }

  function name(node) {
    const text = (node.getAttribute("aria-label") ?? node.innerText ?? "").trim().slice(0, 40);
    return `${node.localName}${node.id ? `#${node.id}` : ""}.${node.className} “${text || node.name || ""}”`;
  }

  /** Everything that can be pressed. */
  function pressables() {
    return [...topmost().querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, textarea")].filter(
      (node) => isSeen(node) && !node.closest(".skip-link"),
    );
  }

  // WCAG 2.5.8: targets within a sentence may be as small as the line.
  function isInSentence(node) {
    const paragraph = node.closest("p, li, dd");
    if (!paragraph || node.localName !== "a" || getComputedStyle(node).display !== "inline") return false;
    const rest = document.createTreeWalker(paragraph, NodeFilter.SHOW_TEXT);
    let words = "";
    while (rest.nextNode()) if (!node.contains(rest.currentNode)) words += rest.currentNode.data;
    return /\p{L}{2}/u.test(words);
  }

  /** The size of the touch target, its label included, found by hit testing from the middle. */
  function reach(node) {
    node.scrollIntoView({ block: "center", inline: "center" });
    const box = node.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const label = node.labels?.[0];
    const hits = (dx, dy) => {
      const hit = document.elementFromPoint(x + dx, y + dy);
      return hit !== null && (node.contains(hit) || Boolean(label?.contains(hit)));
    };
    const far = (dx, dy) => {
      let steps = 0;
      while (steps < 44 && hits(dx * (steps + 1), dy * (steps + 1))) steps += 1;
      return steps;
    };
    return { width: far(-1, 0) + far(1, 0) + 1, height: far(0, -1) + far(0, 1) + 1 };
  }

  globalThis.measures = {
    smallTargets(least) {
      return pressables()
        .filter((node) => !isInSentence(node))
        .map((node) => ({ node, ...reach(node) }))
        .filter(({ width, height }) => width < least || height < least)
        .map(({ node, width, height }) => `${name(node)}: ${width} × ${height}`);
    },

    /** Texts that are clipped, outside of the page, overlapping or broken. */
    cutOff() {
      const found = [];
      if (document.documentElement.scrollWidth > document.documentElement.clientWidth) found.push(`the page scrolls sideways: ${document.documentElement.scrollWidth}`);
      for (const node of topmost().querySelectorAll("*")) {
        if (!isSeen(node) || node.closest(UNMEASURED)) continue;
        const style = getComputedStyle(node);
        const clips = style.overflowX !== "visible" && !["auto", "scroll"].includes(style.overflowX);
        if (clips && node.localName !== "input" && !isShortened(node) && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1)) found.push(`${name(node)} cuts off`);
        const box = node.getBoundingClientRect();
        if (box.width && (box.left < -1 || box.right > document.documentElement.clientWidth + 1)) found.push(`${name(node)} lies outside`);
      }
      return [...found, ...overlaps(), ...broken()];
    },

    /** Elements whose visual order differs from the tab order. */
    reordered() {
      return [...document.querySelectorAll("*")]
        .filter((node) => node.matches(ACTIVE) || node.querySelector(ACTIVE))
        .filter((node) => {
          const { order, flexDirection, flexWrap, gridAutoFlow } = getComputedStyle(node);
          return order !== "0" || /reverse/.test(flexDirection + flexWrap) || /dense/.test(gridAutoFlow) || node.tabIndex > 0;
        })
        .map(name);
    },

    /** PAPER and LIVE badges without border, shape or text, and pages of an account without a border. */
    unmarked() {
      const badges = [...topmost().querySelectorAll(".badge")].filter(isSeen).filter((badge) => {
        const shape = badge.querySelector(".shape").getBoundingClientRect();
        return !/^(PAPER|LIVE)$/.test(badge.innerText.trim()) || !isBordered(badge) || shape.width < 5;
      });
      const body = document.body;
      return [...badges, ...(/about-/.test(body.className) && !isBordered(body) ? [body] : [])].map(name);
    },

    space() {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(
        "* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }" +
          "p { margin-block-end: 2em !important }",
      );
      document.adoptedStyleSheets = [sheet];
    },

    unspace() {
      document.adoptedStyleSheets = [];
    },

    moving() {
      const running = document.getAnimations().map((one) => `${name(one.effect.target)}: ${one.animationName ?? one.transitionProperty}`);
      const timed = [...document.querySelectorAll("*")].filter((node) => {
        const { animationName, transitionDuration } = getComputedStyle(node);
        return animationName !== "none" || /[1-9]/.test(transitionDuration);
      });
      return [...running, ...timed.map(name)];
    },

    /** In document order, which is the reading order. */
    reachables() {
      return [...modal().querySelectorAll(ACTIVE)].filter((node) => isSeen(node) && !node.disabled && !isOtherRadio(node)).map(mark);
    },

    focused() {
      const node = document.activeElement;
      if (!node || node === document.body) return null;
      const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(node);
      const box = node.getBoundingClientRect();
      const isInSight = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
      return { mark: mark(node), outline: `${outlineStyle} ${outlineWidth} ${outlineColor}`, isOutlined: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2, isInSight };
    },
  };

  function isBordered(node) {
    const { borderTopStyle, borderTopWidth, borderTopColor } = getComputedStyle(node);
    const behind = getComputedStyle(node.parentElement).backgroundColor;
    return borderTopStyle !== "none" && parseFloat(borderTopWidth) >= 1 && borderTopColor !== behind;
  }

  /** In a table's heading that stays while its rows scroll by. */
  function isStuck(node) {
    return node.closest("thead th") !== null && getComputedStyle(node.closest("th")).position === "sticky";
  }

  /** Overlapping lines of text. */
  function overlaps() {
    const lines = [];
    const texts = document.createTreeWalker(topmost() === document ? document.body : topmost(), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const node = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !isSeen(node) || node.closest(UNMEASURED) || isStuck(node)) continue;
      const range = document.createRange();
      range.selectNodeContents(texts.currentNode);
      for (const box of shownLines(node, range)) lines.push({ node, box, whole: shortened(node) });
    }
    lines.sort((a, b) => a.box.top - b.box.top);
    const found = [];
    for (const [index, { node, box, whole }] of lines.entries()) {
      for (const other of lines.slice(index + 1)) {
        if (other.box.top > box.bottom - 4) break;
        if (whole && whole === other.whole) continue;
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - other.box.top;
        if (across > 2 && down > Math.min(box.height, other.box.height) / 3) found.push(`${name(node)} and ${name(other.node)} overlap`);
      }
    }
    return found;
  }

  /** Short words that are broken over two lines. */
  function broken() {
    const found = [];
    const texts = document.createTreeWalker(topmost() === document ? document.body : topmost(), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const text = texts.currentNode;
      if (!isSeen(text.parentElement) || text.parentElement.closest(UNMEASURED)) continue;
      for (const { 0: word, index } of text.data.matchAll(/(?<!\S)[\p{L}\d$.,:−+%]{2,12}(?!\S)/gu)) {
        const range = document.createRange();
        range.setStart(text, index);
        range.setEnd(text, index + word.length);
        if (shownLines(text.parentElement, range).length > 1) found.push(`“${word}” is broken in ${name(text.parentElement)}`);
      }
    }
    return found;
  }

  // Tab stops at one radio button of a group; the arrow keys move within it.
  function isOtherRadio(node) {
    if (node.type !== "radio") return false;
    const group = [...node.form.querySelectorAll(`[type=radio][name="${node.name}"]`)];
    return node !== (group.find(({ checked }) => checked) ?? group[0]);
  }

  let marks = 0;
  function mark(node) {
    node.dataset.mark ??= String((marks += 1));
    return `${node.dataset.mark} ${name(node)}`;
  }
})();
