// The actions of this coordinator, and whether a worker offers them now.
const state = document.getElementById("state");
const list = document.getElementById("actions");
try {
  const answer = await fetch(new URL("api/actions", document.baseURI));
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const actions = Object.values(await answer.json());
  state.textContent = actions.length === 0 ? "No actions yet." : "Actions:";
  for (const action of actions) {
    const item = document.createElement("li");
    item.textContent = `${action.name}${action.available ? "" : " (no worker offers it now)"}`;
    list.append(item);
  }
} catch (error) {
  state.textContent = `The actions cannot be loaded: ${error.message}`;
}
