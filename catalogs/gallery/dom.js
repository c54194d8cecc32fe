// The elements of the page: found by their id, or made.

const byId = (id) => document.getElementById(id);

// Everything on the page is made here, and text only ever becomes a text node.
function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter((child) => child !== "" && child != null));
  return node;
}
