// The address holds all of the state, so that what is seen can be linked to.

// An empty label is the service itself.
const MANY = ["segment"];
export const EXPLAINED = ["cell", "version", "segment", "request"];

export function read() {
  const parameters = new URLSearchParams(location.search);
  const state = Object.fromEntries(parameters);
  for (const name of MANY) state[name] = parameters.getAll(name);
  return state;
}

export function address(state) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined && one !== null && (one !== "" || name === "label")) parameters.append(name, one);
  }
  return `?${parameters}`;
}

export function change(changes) {
  const next = address({ ...read(), ...changes });
  if (next !== location.search) history.pushState(null, "", next + location.hash);
}

// A question to the server; errors carry what it says in words.
export async function ask(route, parameters = {}, signal = undefined) {
  const answer = await fetch(`/api/${route}${address(parameters)}`, { signal });
  const said = await answer.json().catch(() => ({ message: `the server answered ${answer.status}` }));
  if (!answer.ok) throw Object.assign(new Error(said.message), { code: said.error });
  return said;
}
